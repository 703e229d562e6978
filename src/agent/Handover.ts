/**
 * Whether this process should still begin a step of an execution.
 *
 * A runner that gives a shard away stops taking its messages. A workflow that then asks for its next activity waits until
 * `entityTerminationTimeout` cuts it, and keeps the shard, and its callers, for as long. So a step that is about to begin
 * asks here first, and the execution ends without an answer: its next owner takes it up at once, and steps that are done
 * are not run again. A step that has begun is left to finish.
 */
import type { Workflow } from "@effect/workflow"
import { Context, type Effect } from "effect"

interface Handing {
  /** Undefined where nothing is ever given away, as in a replay: a step then needs no one who watches for it. */
  readonly leaving: ((workflow: Workflow.Any, executionId: string) => Effect.Effect<boolean>) | undefined
}

export class Handover extends Context.Reference<Handover>()("agent/Handover", {
  defaultValue: (): Handing => ({ leaving: undefined })
}) {}
