import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

const LIMIT = 8

it.scopedLive(
  "at five times what a tenant may have open, what was let in ends and all else is refused with 429, nothing with 5xx",
  () =>
    Effect.gen(function* () {
      const made = yield* stack
      const [gateway] = yield* Effect.all([made.gateway(0, { TENANT_OPEN_RUNS: String(LIMIT) }), made.runner(0)], {
        concurrency: 2
      })
      const post = (path: string, body?: unknown) =>
        Effect.promise(() =>
          fetch(`${gateway.url}${path}`, {
            method: "POST",
            headers: { authorization: `Bearer ${made.token}`, "content-type": "application/json" },
            ...(body === undefined ? {} : { body: JSON.stringify(body) })
          })
        )
      const start = (runId: string, message: string) =>
        Effect.gen(function* () {
          const response = yield* post(`/agents/session-${runId}/runs`, { runId, message })
          const { code } = (yield* Effect.promise(() => response.json())) as Record<string, unknown>
          return { runId, status: response.status, code, retryAfter: response.headers.get("retry-after") }
        })
      const names = Array.from({ length: 5 * LIMIT }, (_, i) => `r${i}`)
      // They wait for a person, so that none ends while the others come.
      const answers = yield* Effect.forEach(names, (name) => start(name, "approve"), { concurrency: "unbounded" })
      const accepted = answers.filter(({ status }) => status === 202).map(({ runId }) => runId)
      const refused = answers.filter(({ status }) => status !== 202)
      expect(accepted).toHaveLength(LIMIT)
      for (const answer of refused) {
        expect(answer).toMatchObject({ status: 429, code: "too-many-open-runs", retryAfter: "5" })
      }
      // A start that was let in may be sent again, however full it is.
      expect(yield* start(accepted[0] ?? "", "approve")).toMatchObject({ status: 202 })

      const runs = made.database.query<{ readonly run_id: string; readonly status: string }>(
        "select run_id, status from agents.runs where tenant_id = 'smoke' order by run_id"
      )
      const all = (status: string) =>
        until(`all that was let in ${status}`, runs, (rows) => rows.every((row) => row.status === status), "30 seconds")
      // Nothing was begun of what was refused.
      expect((yield* all("waiting")).map(({ run_id }) => run_id)).toEqual([...accepted].sort())
      yield* Effect.forEach(accepted, (runId) => post(`/runs/${runId}/approve`), { concurrency: "unbounded" })
      yield* all("completed")
      // Who comes back when there is room is let in.
      expect(yield* start(refused[0]?.runId ?? "", "short")).toMatchObject({ status: 202 })
    }),
  120_000
)
