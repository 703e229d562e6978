/** How a run goes: plan, ask the model, call tools, wait for a person if one is needed, account for it, end. */

import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Cause, Effect, type Layer, Option } from "effect"
import type { EventLog, RunKey } from "../domain/EventLog.ts"
import { RunFailed } from "../domain/Run.ts"
import { agentWorkflow, type StepFailed } from "./AgentWorkflow.ts"
import type { Model } from "./model/Model.ts"
import * as step from "./steps.ts"
import type { Tools } from "./tools/Tools.ts"

const runFailed = (cause: Cause.Cause<StepFailed>): RunFailed =>
  Option.match(Cause.failureOption(cause), {
    onSome: ({ code, message }) => new RunFailed({ code, message }),
    // A defect's text may quote data of the run; the log has it.
    onNone: () => new RunFailed({ code: "internal", message: "The run could not go on." })
  })

export const layer: Layer.Layer<never, never, WorkflowEngine | EventLog | Model | Tools> = agentWorkflow.toLayer(
  (payload, steps, executionId) => {
    const run: RunKey = { ...payload, executionId }
    const body = Effect.gen(function* () {
      const plan = yield* steps.plan(step.plan(run, payload))
      const answer = yield* steps.callModel(step.callModel(run, payload))
      for (const call of plan.calls) {
        yield* steps.callTool(call.call, step.callTool(run, call))
      }
      if (plan.approval !== undefined) {
        yield* steps.requestApproval(step.requestApproval(run, plan.approval))
        const { by } = yield* steps.approval
        yield* steps.recordApproval(step.recordApproval(run, by))
      }
      yield* steps.recordUsage(step.recordUsage(run, payload.model, answer))
      yield* steps.complete(step.end(run, { _tag: "Completed", ...answer }))
      return answer
    })
    return body.pipe(
      Effect.catchAllCause((cause) =>
        Effect.gen(function* () {
          // Suspended, handed over or cancelled: not a failure, and the engine must see it.
          if (Cause.isInterrupted(cause)) return yield* Effect.failCause(cause as Cause.Cause<never>)
          const failed = runFailed(cause)
          if (Cause.isDie(cause)) yield* Effect.logError("A run met a defect", cause)
          if (failed.code !== "cancelled") {
            yield* steps
              .fail(step.end(run, { _tag: "Failed", code: failed.code, message: failed.message }))
              .pipe(
                Effect.catchAll((error: StepFailed) => Effect.logError("A run's failure could not be recorded", error))
              )
          }
          return yield* failed
        })
      ),
      Effect.annotateLogs({
        tenant: payload.tenantId,
        session: payload.sessionId,
        run: payload.runId,
        execution: executionId,
        workflow: agentWorkflow.workflow.name
      })
    )
  },
  {
    onCancelled: (payload, executionId) =>
      step
        .end({ ...payload, executionId }, { _tag: "Cancelled", by: "workflow" })
        .pipe(Effect.catchAll((error) => Effect.logError("A cancelled run's end could not be recorded", error)))
  }
)
