/**
 * Whether this process should still begin a step of an execution.
 *
 * A runner that gives a shard away stops taking its messages. A workflow that then asks for its next activity waits until
 * `entityTerminationTimeout` cuts it, and keeps the shard, and its callers, for as long. So a step that is about to begin
 * asks here first, and the execution ends without an answer: its next owner takes it up at once, and steps that are done
 * are not run again. A step that has begun is left to finish.
 */
import type { Workflow } from "@effect/workflow"
import { Context, Effect } from "effect"

export class Handover extends Context.Reference<Handover>()("agent/Handover", {
  defaultValue: () => ({
    leaving: (_workflow: Workflow.Any, _executionId: string): Effect.Effect<boolean> => Effect.succeed(false)
  })
}) {}
