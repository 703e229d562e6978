import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { collector } from "../support/collector.ts"
import { stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

/** Of a line whose name and labels are these, or of one with a name alone. */
const metric = (body: string, name: string): number =>
  Number(
    body
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length)
  )

it.scopedLive(
  "shows one run as one trace from the gateway to the model, and counts it",
  () =>
    Effect.gen(function* () {
      const traces = yield* collector
      const made = yield* stack
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: traces.url }
      const runner = yield* made.runner(0, env)
      const gateway = yield* made.gateway(0, env)
      const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
      const call = (path: string, init: RequestInit = {}) =>
        Effect.promise(async () => {
          const response = await fetch(`${gateway.url}${path}`, {
            ...init,
            headers: { authorization: `Bearer ${made.token}`, "content-type": "application/json", ...init.headers }
          })
          return { status: response.status, text: await response.text() }
        })
      const started = yield* call("/agents/s1/runs", {
        method: "POST",
        headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
        body: JSON.stringify({ runId: "traced", message: "my words tool:add=1+2 tokens:3" })
      })
      expect(started.status).toBeLessThan(300)
      yield* until("the end of the run", call("/runs/traced"), ({ text }) => text.includes('"completed"'))

      const ours = () => traces.spans().filter((span) => span.traceId === traceId)
      const model = yield* until(
        "the model's span",
        Effect.sync(() => ours().find(({ name }) => name === "model.answer")),
        (span) => span !== undefined
      )
      const chain = yield* until(
        "every span between it and the caller",
        Effect.sync(() => {
          const names: Array<string> = []
          for (
            let span = model;
            span !== undefined;
            span = ours().find(({ spanId }) => spanId === span?.parentSpanId)
          ) {
            names.push(`${span.service} ${span.name}`)
          }
          return names.reverse()
        }),
        ([first]) => first?.startsWith("agent-gateway http.server") === true
      )
      const hops = [
        "agent-gateway http.server POST",
        "agent-gateway Runs.start",
        "agent-runner Agent.Ask",
        "agent-runner AgentWorkflowV2.execute",
        "agent-runner CallModel",
        "agent-runner model.answer"
      ]
      expect(chain.filter((span) => hops.includes(span))).toEqual(hops)
      expect(JSON.stringify(traces.spans())).not.toContain("my words")

      // Polling and probes begin no trace.
      expect(traces.spans().map(({ name }) => name)).not.toContain("sql.events.of_cursors")

      const ofRunner = yield* until(
        "the run's metrics",
        runner.get("/metrics"),
        ({ body }) => metric(body, "agents_completion_seconds_count") === 1
      )
      for (const [name, value] of [
        ["agents_runs_started_total", 1],
        ['agents_runs_finished_total{status="completed"}', 1],
        ["agents_first_token_seconds_count", 1],
        ['agents_model_calls_total{model="local",outcome="ok"}', 2],
        ['agents_tool_calls_total{tool="add",outcome="ok"}', 1],
        ['agents_open_runs{status="accepted"}', 0],
        ['agents_open_runs{status="waiting"}', 0]
      ] as const) {
        expect(metric(ofRunner.body, name), name).toBe(value)
      }
      expect((yield* gateway.get("/metrics")).status).toBe(200)
    }),
  180_000
)
