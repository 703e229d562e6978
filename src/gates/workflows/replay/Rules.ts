/** Every rule of the replay. A rule is a file in `rules/` and a line here. */
import type { ReplayRule } from "./Rule.ts"
import { askedTwice } from "./rules/AskedTwice.ts"
import { inserted } from "./rules/Inserted.ts"
import { neverAsked } from "./rules/NeverAsked.ts"
import { nonDeterministic } from "./rules/NonDeterministic.ts"
import { otherWait } from "./rules/OtherWait.ts"
import { outside } from "./rules/Outside.ts"
import { unfinished } from "./rules/Unfinished.ts"

export const replayRules: ReadonlyArray<ReplayRule> = [
  neverAsked,
  inserted,
  askedTwice,
  otherWait,
  nonDeterministic,
  outside,
  unfinished
]
