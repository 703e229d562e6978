/** A user of one target's gateway: starts runs, asks for them, approves them. Each call is made once; a failure is told. */
import { Data, Effect, Schedule } from "effect"

/** A call that failed, or answered otherwise than it must. */
export class CallFailed extends Data.TaggedError("CallFailed")<{ readonly message: string }> {}

export interface RunState {
  readonly runId: string
  readonly status: "accepted" | "waiting" | "completed" | "failed" | "cancelled"
  /** The pod that works on it, where known. */
  readonly runner: string | null
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

const REQUEST_TIMEOUT_MS = 30_000

export const make = (options: { readonly baseUrl: string; readonly token: Effect.Effect<string> }): GatewayClient => {
  const request = <A = RunState>(method: string, path: string, body?: unknown): Effect.Effect<A, CallFailed> =>
    Effect.gen(function* () {
      const token = yield* options.token
      const { status, text } = yield* Effect.tryPromise({
        try: async (signal) => {
          const response = await fetch(`${options.baseUrl}${path}`, {
            method,
            headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
            signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)])
          })
          return { status: response.status, text: await response.text() }
        },
        catch: (cause) => new CallFailed({ message: `${method} ${path} failed: ${String(cause)}` })
      })
      if (status >= 300)
        return yield* new CallFailed({ message: `${method} ${path} answered ${status}: ${text.slice(0, 500)}` })
      return JSON.parse(text) as A
    })
  const status = (runId: string) => request("GET", `/runs/${runId}`)
  return {
    startRun: ({ sessionId, runId, message }) => request("POST", `/agents/${sessionId}/runs`, { runId, message }),
    status,
    written: (runId) =>
      request<{ readonly events: ReadonlyArray<unknown> }>("GET", `/runs/${runId}/events`).pipe(
        Effect.map(({ events }) => events.length)
      ),
    approve: (runId) => request("POST", `/runs/${runId}/approve`, { approved: true, reason: "the rehearsal is over" }),
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
