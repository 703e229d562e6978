/** A session lives on one runner, whoever calls it from wherever, and does one thing at a time. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { runId, session, testCluster, untilEvent } from "../support/cluster.ts"
import { type CollectedSpan, collector } from "../support/collector.ts"
import { SHARDS } from "../support/sharding.ts"
import { until } from "../support/wait.ts"

const sessions = ["one", "two", "three", "four", "five", "six"]
const CALLERS = 3
const RUNS_EACH = 4

/** Of the handler itself, by the session that it served. A call that waits for its turn has no span yet. */
const handled = (spans: ReadonlyArray<CollectedSpan>) =>
  spans.flatMap((span) => {
    if (!/^Agent\.(Ask|Status|Cancel)$/.test(span.name)) return []
    const served = spans.find(({ spanId }) => spanId === span.parentSpanId)
    const name = /^Agent\(acme\/(.*)\)/.exec(served?.name ?? "")?.[1]
    return name === undefined
      ? []
      : [{ session: name, pod: span.pod, from: Number(span.startTimeUnixNano), to: Number(span.endTimeUnixNano) }]
  })

it.scopedLive(
  "routes a session's calls to one of three runners, whoever calls, and carries them out one after the other",
  () =>
    Effect.gen(function* () {
      const cluster = yield* testCluster
      const traces = yield* collector
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: traces.url }
      const pods = yield* cluster.runners(3, { env })
      yield* until(
        "a share of the shards on each",
        Effect.all(pods.map((pod) => pod.metric("agents_shards_held"))),
        (held) => held.reduce((sum, count) => sum + count, 0) === SHARDS && held.every((count) => count > 0),
        "60 seconds"
      )

      // Each caller is a member of the cluster of its own, as each gateway is, and all call at once.
      const calls = (caller: number) =>
        Effect.flatMap(AgentClient, (agent) =>
          Effect.forEach(
            sessions.flatMap((name) => Array.from({ length: RUNS_EACH }, (_, run) => [name, run] as const)),
            ([name, run]) => {
              const id = runId(`${name}-${caller}-${run}`)
              const ask = agent.ask(session(name), { runId: id, message: "hello", model: "local" })
              // As a client does that is told to send its call again: a busy machine may take longer than a call waits.
              return Effect.andThen(ask, agent.status(session(name), id)).pipe(
                Effect.retry({ times: 3, while: ({ _tag }) => _tag === "AgentUnavailable" })
              )
            },
            { concurrency: "unbounded" }
          )
        ).pipe(Effect.provide(cluster.client))
      yield* Effect.all(
        Array.from({ length: CALLERS }, (_, caller) => calls(caller)),
        { concurrency: "unbounded" }
      )

      const expected = sessions.length * CALLERS * RUNS_EACH * 2
      const seen = yield* until(
        "a span of each call",
        Effect.sync(() => handled(traces.spans())),
        (spans) => spans.length >= expected,
        "30 seconds"
      )

      const podsOf = new Map(
        sessions.map((name) => [name, new Set(seen.flatMap((call) => (call.session === name ? [call.pod] : [])))])
      )
      for (const [name, on] of podsOf) expect([name, on.size]).toEqual([name, 1])
      expect(new Set([...podsOf.values()].flatMap((on) => [...on])).size).toBeGreaterThan(1)

      for (const name of sessions) {
        const inTurn = seen.filter((call) => call.session === name).sort((a, b) => a.from - b.from)
        const overlapping = inTurn.filter((call, index) => index > 0 && call.from < (inTurn[index - 1]?.to ?? 0))
        expect([name, overlapping.length]).toEqual([name, 0])
      }

      yield* Effect.forEach(sessions, (name) => untilEvent(`${name}-0-0`, "Completed", "60 seconds")).pipe(
        Effect.provide(cluster.client)
      )
    }),
  180_000
)
