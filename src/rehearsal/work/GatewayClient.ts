/** A user of one target's gateway: starts runs, asks for them, approves them. Each call is made once; a failure is told. */
import { Effect, Schedule } from "effect"
import { ToolFailed } from "../Errors.ts"

export interface RunState {
  readonly runId: string
  readonly status: "accepted" | "waiting" | "completed" | "failed" | "cancelled"
}

export interface GatewayClient {
  readonly startRun: (run: {
    readonly sessionId: string
    readonly runId: string
    readonly message: string
  }) => Effect.Effect<RunState, ToolFailed>
  readonly status: (runId: string) => Effect.Effect<RunState, ToolFailed>
  readonly approve: (runId: string) => Effect.Effect<RunState, ToolFailed>
  /** Asks until the run has this status. */
  readonly waitFor: (runId: string, status: RunState["status"], withinMs: number) => Effect.Effect<void, ToolFailed>
}

const REQUEST_TIMEOUT_MS = 30_000

export const make = (options: { readonly baseUrl: string; readonly token: Effect.Effect<string> }): GatewayClient => {
  const request = (method: string, path: string, body?: unknown): Effect.Effect<RunState, ToolFailed> =>
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
        catch: (cause) => new ToolFailed({ message: `${method} ${path} failed: ${String(cause)}` })
      })
      if (status >= 300)
        return yield* new ToolFailed({ message: `${method} ${path} answered ${status}: ${text.slice(0, 500)}` })
      return JSON.parse(text) as RunState
    })
  const status = (runId: string) => request("GET", `/runs/${runId}`)
  return {
    startRun: ({ sessionId, runId, message }) => request("POST", `/agents/${sessionId}/runs`, { runId, message }),
    status,
    approve: (runId) => request("POST", `/runs/${runId}/approve`, { approved: true, reason: "the rehearsal is over" }),
    waitFor: (runId, wanted, withinMs) =>
      status(runId).pipe(
        Effect.filterOrFail(
          (run) => run.status === wanted,
          (run) => new ToolFailed({ message: `Run ${runId} is ${run.status} and was expected to be ${wanted} by now.` })
        ),
        Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo(withinMs))),
        Effect.asVoid
      )
  }
}
