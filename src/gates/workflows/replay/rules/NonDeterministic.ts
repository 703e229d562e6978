import type { Problem } from "../../Rule.ts"
import { agree } from "../Replay.ts"
import type { ReplayRule } from "../Rule.ts"
import { type Asked, keyOf } from "../Session.ts"

const told = (ask: Asked | undefined) => (ask === undefined ? "nothing more" : `${ask.kind} ${ask.name}`)

/** Two replays of one record that ask for different things. */
export const nonDeterministic: ReplayRule = {
  name: "determinism",
  how: "two replays, at another time and with another chance, agree",
  judge: ({ first, second }, { workflow }) => {
    if (agree(first, second)) return []
    const at = first.asked.findIndex((ask, i) => second.asked[i] === undefined || keyOf(ask) !== keyOf(second.asked[i]))
    const place = at === -1 ? first.asked.length : at
    return [
      {
        rule: "replay-non-deterministic",
        severity: "hazard",
        subject: workflow,
        what: `Replayed twice from the same record, ${workflow} asks for different things.`,
        why: "An execution is resumed by running its function again. When the function depends on time, chance or the environment, it loses what it has done, and does it again.",
        fix: "Move what varies into an activity, whose result is recorded, or into the payload.",
        detail: `At step ${place + 1} it asked once for ${told(first.asked[place])}, once for ${told(second.asked[place])}`
      } satisfies Problem
    ]
  }
}
