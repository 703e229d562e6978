/** A rule of the replay: what it says about one execution that was replayed. */
import type { AnyDeclaration } from "../../../surface/Declared.ts"
import type { Execution } from "../OpenWork.ts"
import type { Problem } from "../Rule.ts"
import type { Replayed } from "./Replay.ts"

export interface ReplayRule {
  readonly name: string
  /** What it looks for: for the evidence. */
  readonly how: string
  readonly judge: (replayed: Replayed, execution: Execution, declaration: AnyDeclaration) => ReadonlyArray<Problem>
}
