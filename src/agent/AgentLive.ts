/** Carries out the calls of a session. */
import { Entity } from "@effect/cluster"
import type { Sharding } from "@effect/cluster/Sharding"
import { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, Fiber, type Layer, Option } from "effect"
import { RunConflict, RunFinished, RunNotFound, RunNotWaiting } from "../domain/AgentRpcs.ts"
import { EventLog, FINAL_STEP, type RunKey } from "../domain/EventLog.ts"
import { fromAgentEntityId, type RunId } from "../domain/Ids.ts"
import { isOpen, type RunView } from "../domain/Run.ts"
import { Agent } from "./Agent.ts"
import { APPROVAL_STEP } from "./steps.ts"
import * as versions from "./versions.ts"

/** Longer than the caller waits for its answer. */
const START_LIMIT = "25 seconds"

/**
 * Goes on when its caller hangs up: a start that is cut in its middle is found only by `RestartAccepted`. It does so in a
 * fiber of its own, since an uninterruptible call could not be cut by a runner that must give its shards up either: the start
 * waits for the shard of its execution, the shard for the release of all, and the release for the call, for ever.
 */
const carried = <A, E, R>(start: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  start.pipe(
    Effect.timeoutOption(START_LIMIT),
    Effect.flatMap(
      Option.match({ onSome: Effect.succeed, onNone: () => Effect.dieMessage("The run could not be started in time") })
    ),
    Effect.interruptible,
    Effect.forkDaemon,
    Effect.flatMap(Fiber.join)
  )

const handlers = Effect.gen(function* () {
  const { tenantId, sessionId } = fromAgentEntityId((yield* Entity.CurrentAddress).entityId)
  const log = yield* EventLog
  const engine = yield* WorkflowEngine
  const withEngine = Effect.provideService(WorkflowEngine, engine)

  const keyOf = ({ runId, executionId }: RunView): RunKey => ({ tenantId, sessionId, runId, executionId })

  /** A run of another session is not found: a session sees its own. */
  const find = (runId: RunId) =>
    log.run(tenantId, runId).pipe(
      // The caller repeats a call that met a database which is away.
      Effect.orDie,
      Effect.flatMap((found) =>
        Option.isSome(found) && found.value.sessionId === sessionId
          ? Effect.succeed(found.value)
          : Effect.fail(new RunNotFound({ runId }))
      )
    )

  return Agent.of({
    Ask: Effect.fn("Agent.Ask")(({ payload: { runId, message, model } }) =>
      carried(
        Effect.gen(function* () {
          const payload = { tenantId, sessionId, runId, message, model }
          // First the rows, then the start: a run id is taken by one session alone. A crash between the two leaves a run
          // that the caller's repeated call starts, or `RestartAccepted` when the caller is gone as well.
          const accepted = yield* log
            .accept({ tenantId, sessionId, runId, versions: yield* versions.versionsOf(payload), message, model })
            .pipe(
              // The caller repeats its call for a while: a rollout moves on.
              Effect.tapErrorTag("NoVersionCarried", ({ message }) => Effect.logError(message)),
              Effect.orDie
            )
          if (accepted.run.sessionId !== sessionId) return yield* new RunConflict({ runId, reason: "other-session" })
          if (accepted.message !== message || accepted.model !== model) {
            return yield* new RunConflict({ runId, reason: "other-request" })
          }
          if (isOpen(accepted.run.status)) yield* withEngine(versions.start(accepted.run.workflow, payload))
          return accepted.run
        })
      )
    ),

    Cancel: Effect.fn("Agent.Cancel")(function* ({ payload: { runId, by } }) {
      const run = yield* find(runId)
      if (!isOpen(run.status)) return run
      // The interruption ends an execution that waits. One that is at work finds its run ended at its next write.
      yield* withEngine(versions.interrupt(run.workflow, run.executionId))
      yield* log
        .append(keyOf(run), [{ step: FINAL_STEP, sequence: 0, event: { _tag: "Cancelled", by } }])
        .pipe(Effect.orDie)
      return yield* find(runId)
    }),

    Approve: Effect.fn("Agent.Approve")(function* ({ payload: { runId, by } }) {
      const run = yield* find(runId)
      if (!isOpen(run.status)) return yield* new RunFinished({ run })
      const asked = yield* log.ofStep(run.executionId, APPROVAL_STEP).pipe(Effect.orDie)
      if (asked.length === 0) return yield* new RunNotWaiting({ run })
      yield* withEngine(versions.approve(run.workflow, run.executionId, by))
      return run
    }),

    Status: Effect.fn("Agent.Status")(({ payload: { runId } }) => find(runId))
  })
})

/** One call at a time. A defect is answered to its caller, who tries again; the others of the session go on. */
export const layer: Layer.Layer<never, never, Sharding | EventLog | WorkflowEngine> = Agent.toLayer(handlers, {
  concurrency: 1,
  disableFatalDefects: true
})
