/** The operations on runs, shared by HTTP and WebSocket: find, start, cancel, approve, with their failures as problems. */
import { Effect, Fiber } from "effect"
import type { AgentUnavailable, RunConflict, RunNotFound } from "../domain/AgentRpcs.ts"
import type { StartRun } from "../domain/Api.ts"
import type { Caller } from "../domain/Caller.ts"
import type { RunId, SessionId } from "../domain/Ids.ts"
import { problem } from "../domain/Problem.ts"
import { Admission } from "./Admission.ts"
import { Agents, Records, type StorageUnavailable } from "./Ports.ts"

/** What the operations together need. */
export type Requirements = Agents | Records | Admission

/** A caller's operation, if the caller may have one more now. */
const admitted = <A, E, R>(caller: Caller, operation: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Admission, (admission) => Effect.zipRight(admission.operation(caller), operation))

/** After how many seconds a client may try again: a takeover after a killed runner ends within 5 s. */
const RETRY_AFTER_SECONDS = 2

/**
 * Carries a call to its end even when the client hangs up meanwhile. An interruption would travel to the runner and could cut
 * `Ask` between its two writes: a run that is recorded and not started waits until a runner notices (measured: 15 s and more).
 */
const toItsEnd = <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.forkDaemon(Effect.interruptible(call)), Fiber.join)

const notFound = (runId: RunId) => problem("run-not-found", `You have no run ${runId}.`)

const onAgentUnavailable = (error: AgentUnavailable) =>
  Effect.logWarning("no runner answered in time").pipe(
    Effect.annotateLogs({ sessionId: error.sessionId, waitedMillis: error.waitedMillis }),
    Effect.andThen(problem("agents-unavailable", error.message, { retryAfter: RETRY_AFTER_SECONDS }))
  )

const onStorageUnavailable = (error: StorageUnavailable) =>
  Effect.logWarning("the database did not answer in time", error.cause).pipe(
    Effect.andThen(
      problem("database-unavailable", "The request can be sent again as it is.", { retryAfter: RETRY_AFTER_SECONDS })
    )
  )

const onConflict = (error: RunConflict) =>
  error.reason === "other-session"
    ? Effect.fail(problem("run-in-other-session", error.message))
    : Effect.fail(problem("run-differs", error.message))

const onNotFound = (error: RunNotFound) => Effect.fail(notFound(error.runId))

const lookUp = Effect.fn("Runs.find")(function* (caller: Caller, runId: RunId) {
  const found = yield* (yield* Records)
    .run(caller.tenantId, runId)
    .pipe(Effect.catchTag("StorageUnavailable", onStorageUnavailable))
  return yield* Effect.mapError(found, () => notFound(runId))
})

/** A run of the caller's tenant. Another tenant's run is not told apart from one that does not exist. */
export const find = (caller: Caller, runId: RunId) => admitted(caller, lookUp(caller, runId))

/** Starts a run, or finds the one that an earlier call with this run id started. */
export const start = Effect.fn("Runs.start")(
  function* (caller: Caller, sessionId: SessionId, request: StartRun, defaultModel: string) {
    const ask = (yield* Agents).ask(
      { tenantId: caller.tenantId, sessionId },
      { runId: request.runId, message: request.message, model: request.model ?? defaultModel }
    )
    return yield* (yield* Admission)
      .start(caller, request.runId, ask)
      .pipe(toItsEnd, Effect.catchTags({ AgentUnavailable: onAgentUnavailable, RunConflict: onConflict }))
  },
  (run, caller) => admitted(caller, run)
)

export const cancel = Effect.fn("Runs.cancel")(
  function* (caller: Caller, runId: RunId) {
    const run = yield* lookUp(caller, runId)
    return yield* (yield* Agents)
      .cancel({ tenantId: caller.tenantId, sessionId: run.sessionId }, { runId, by: caller.subject })
      .pipe(toItsEnd, Effect.catchTags({ AgentUnavailable: onAgentUnavailable, RunNotFound: onNotFound }))
  },
  (run, caller) => admitted(caller, run)
)

export const approve = Effect.fn("Runs.approve")(
  function* (caller: Caller, runId: RunId) {
    const run = yield* lookUp(caller, runId)
    return yield* (yield* Agents)
      .approve({ tenantId: caller.tenantId, sessionId: run.sessionId }, { runId, by: caller.subject })
      .pipe(
        toItsEnd,
        Effect.catchTags({
          AgentUnavailable: onAgentUnavailable,
          RunNotFound: onNotFound,
          RunFinished: (error) => Effect.fail(problem("run-finished", error.message)),
          RunNotWaiting: (error) => Effect.fail(problem("run-not-waiting", error.message))
        })
      )
  },
  (run, caller) => admitted(caller, run)
)

export const events = Effect.fn("Runs.events")(
  function* (caller: Caller, runId: RunId, after: number, limit: number) {
    yield* lookUp(caller, runId)
    return yield* (yield* Records)
      .runEvents(caller.tenantId, runId, after, limit)
      .pipe(Effect.catchTag("StorageUnavailable", onStorageUnavailable))
  },
  (run, caller) => admitted(caller, run)
)
