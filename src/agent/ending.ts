/** How a run ends otherwise than by its own last step: the same in every version of the workflow. */
import { Cause, Effect, Option } from "effect"
import type { EventLog, RunKey } from "../domain/EventLog.ts"
import { RunFailed } from "../domain/Run.ts"
import type { AgentWorkflowPayload, Answer, StepFailed } from "./AgentWorkflow.ts"
import type { Model } from "./model/Model.ts"
import * as step from "./steps.ts"

const notUndone = (left: number) =>
  left === 0 ? "" : ` ${left === 1 ? "One call of a tool" : `${left} calls of tools`} could not be undone.`

const runFailed = (cause: Cause.Cause<StepFailed>): RunFailed =>
  Option.match(Cause.failureOption(cause), {
    onSome: ({ code, message }) => new RunFailed({ code, message }),
    // A defect's text may quote data of the run; the log has it.
    onNone: () => new RunFailed({ code: "internal", message: "The run could not go on." })
  })

/** Records the failure of a run, and says in every log line what the line is about. */
export const accounted = <R, RC = never>(
  body: Effect.Effect<Answer, StepFailed, R>,
  options: {
    readonly run: RunKey
    readonly payload: AgentWorkflowPayload
    readonly workflow: string
    /** The version's own step for it. */
    /** Takes back what the run did, before its failure is recorded, and says how much is left. */
    readonly compensate?: Effect.Effect<number, never, RC>
    readonly fail: (record: Effect.Effect<void, StepFailed, EventLog>) => Effect.Effect<void, StepFailed, EventLog>
  }
): Effect.Effect<Answer, RunFailed, R | RC | EventLog> =>
  body.pipe(
    Effect.catchAllCause((cause) =>
      Effect.gen(function* () {
        // Suspended, handed over or cancelled: not a failure, and the engine must see it.
        if (Cause.isInterrupted(cause)) return yield* Effect.failCause(cause as Cause.Cause<never>)
        let failed = runFailed(cause)
        if (Cause.isDie(cause)) yield* Effect.logError("A run met a defect", cause)
        if (failed.code !== "cancelled") {
          const left = yield* options.compensate ?? Effect.succeed(0)
          failed = new RunFailed({ code: failed.code, message: `${failed.message}${notUndone(left)}` })
          yield* options
            .fail(step.end(options.run, { _tag: "Failed", code: failed.code, message: failed.message }))
            .pipe(
              Effect.catchAll((error: StepFailed) => Effect.logError("A run's failure could not be recorded", error))
            )
        }
        return yield* failed
      })
    ),
    Effect.annotateLogs({
      tenant: options.payload.tenantId,
      session: options.payload.sessionId,
      run: options.payload.runId,
      execution: options.run.executionId,
      workflow: options.workflow
    })
  )

export const onCancelled = (
  payload: AgentWorkflowPayload,
  executionId: string
): Effect.Effect<void, never, EventLog | Model> =>
  step.end({ ...payload, executionId }, { _tag: "Cancelled", by: "workflow" }).pipe(
    Effect.andThen(step.accountForSeen({ ...payload, executionId }, payload)),
    Effect.catchAll((error) => Effect.logError("A cancelled run's end could not be recorded", error))
  )
