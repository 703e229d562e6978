/** A user of one target's gateway: starts runs, asks for them, approves them. Each call is made once; a failure is told. */
import { Data, Effect, Schedule } from "effect"
import { MAX_EVENTS_PAGE } from "../domain/Api.ts"
import * as ApiClient from "../domain/ApiClient.ts"
import { EventId, RunId, SessionId } from "../domain/Ids.ts"
import type { RunView } from "../domain/Run.ts"

/** A call that failed, or answered otherwise than it must. */
export class CallFailed extends Data.TaggedError("CallFailed")<{ readonly message: string }> {}

export interface RunState extends Pick<RunView, "status" | "runner"> {
  readonly runId: string
}

export interface GatewayClient {
  readonly startRun: (run: {
    readonly sessionId: string
    readonly runId: string
    readonly message: string
  }) => Effect.Effect<RunState, CallFailed>
  readonly status: (runId: string) => Effect.Effect<RunState, CallFailed>
  /** How many events the run has written so far. */
  readonly written: (runId: string) => Effect.Effect<number, CallFailed>
  readonly approve: (runId: string) => Effect.Effect<RunState, CallFailed>
  /** Asks until the run has this status. */
  readonly waitFor: (runId: string, status: RunState["status"], withinMs: number) => Effect.Effect<void, CallFailed>
}

const REQUEST_TIMEOUT = "30 seconds"

export const make = (options: { readonly baseUrl: string; readonly token: Effect.Effect<string> }): GatewayClient => {
  const call = <A>(what: string, by: (runs: ApiClient.ApiClient["runs"]) => Effect.Effect<A, Error>) =>
    ApiClient.make(options).pipe(
      Effect.flatMap(({ runs }) => by(runs)),
      Effect.timeout(REQUEST_TIMEOUT),
      Effect.mapError(({ message }) => new CallFailed({ message: `${what} at ${options.baseUrl} failed: ${message}` }))
    )
  const of = (runId: string) => ({ path: { runId: RunId.make(runId) } })
  const status = (runId: string) => call(`Asking for run ${runId}`, (runs) => runs.status(of(runId)))
  return {
    startRun: ({ sessionId, runId, message }) =>
      call(`Starting run ${runId}`, (runs) =>
        runs.start({ path: { sessionId: SessionId.make(sessionId) }, payload: { runId: RunId.make(runId), message } })
      ),
    status,
    written: (runId) =>
      call(`Reading the events of run ${runId}`, (runs) =>
        runs.events({ ...of(runId), urlParams: { after: EventId.make(0), limit: MAX_EVENTS_PAGE } })
      ).pipe(Effect.map(({ events }) => events.length)),
    approve: (runId) => call(`Approving run ${runId}`, (runs) => runs.approve(of(runId))),
    waitFor: (runId, wanted, withinMs) =>
      status(runId).pipe(
        Effect.filterOrFail(
          (run) => run.status === wanted,
          (run) => new CallFailed({ message: `Run ${runId} is ${run.status} and was expected to be ${wanted} by now.` })
        ),
        Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo(withinMs))),
        Effect.asVoid
      )
  }
}
