/** A rule of the replay: what it says about one execution that was replayed. */
import type { AnyDeclaration } from "../../../surface/Declared.ts"
import type { Execution } from "../OpenWork.ts"
import type { Problem } from "../Rule.ts"
import type { Replayed } from "./Replay.ts"

/** What the releases may have left executions of a workflow waiting for that ran here before. */
export interface Left {
  readonly deferreds: ReadonlySet<string>
  /** They wait for items of queues, too. */
  readonly queues: boolean
}

export interface ReplayRule {
  readonly name: string
  /** What it looks for: for the evidence. */
  readonly how: string
  readonly judge: (
    replayed: Replayed,
    execution: Execution,
    declaration: AnyDeclaration,
    /** Undefined when that can't be told. */
    left: Left | undefined
  ) => ReadonlyArray<Problem>
}
