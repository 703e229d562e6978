/** Two releases at work in one ring, as `prod` has them between `one-replica` and `stable`. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { eventsOf, runId, session, summary, testCluster, untilEvent } from "../support/cluster.ts"
import { type Edit, testImage } from "../support/image.ts"
import { SHARDS } from "../support/sharding.ts"
import { until } from "../support/wait.ts"

vi.setConfig({ testTimeout: 180_000 })

const RUNS = 12
const names = Array.from({ length: RUNS }, (_, index) => `run-${index}`)

/** A change that the gates let pass: an activity that open executions have not met yet. */
const harmless = Effect.promise(async () => {
  const file = join(import.meta.dirname, "../hazards/harmless-new-activity.json")
  return (JSON.parse(await readFile(file, "utf8")) as { edits: ReadonlyArray<Edit> }).edits
})

it.scopedLive("runs two releases side by side: what one began the other finishes, both ways", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const next = yield* testImage({ commit: "next", edits: yield* harmless })
    const old = yield* cluster.runner(0)
    const canary = yield* cluster.runner(1, { image: next })
    yield* Effect.all([old.ready, canary.ready])
    yield* until(
      "both hold shards",
      Effect.all([old, canary].map((pod) => pod.metric("agents_shards_held"))),
      (held) => held[0]! + held[1]! === SHARDS && held.every((count) => count > 0),
      "60 seconds"
    )
    yield* Effect.gen(function* () {
      const agent = yield* AgentClient
      yield* Effect.forEach(
        names,
        (name) => agent.ask(session(name), { runId: runId(name), message: "approve this", model: "local" }),
        { concurrency: 4 }
      )
      yield* Effect.forEach(names, (name) => untilEvent(name, "ApprovalRequested"), { concurrency: 4 })
      const begun = yield* cluster.database.query<{ release: string }>(
        "select distinct release from agents.events where step <> 'accept' order by release"
      )
      expect(begun.map(({ release }) => release)).toEqual(["next", "test"])

      // The canary is given up: everything is on the old release, what the new one began among it.
      yield* canary.signal("SIGTERM")
      expect(yield* canary.exit).toBe(0)
      const half = names.slice(0, RUNS / 2)
      yield* Effect.forEach(half, (name) => agent.approve(session(name), runId(name), "ann"), { concurrency: 4 })
      yield* Effect.forEach(half, (name) => untilEvent(name, "Completed"), { concurrency: 4 })

      // It comes back, and the old release leaves: everything is on the new one.
      const again = yield* cluster.runner(1, { image: next })
      yield* again.ready
      yield* old.signal("SIGTERM")
      expect(yield* old.exit).toBe(0)
      const rest = names.slice(RUNS / 2)
      yield* Effect.forEach(rest, (name) => agent.approve(session(name), runId(name), "ann"), { concurrency: 4 })
      yield* Effect.forEach(rest, (name) => untilEvent(name, "Completed"), { concurrency: 4 })

      for (const name of names) {
        const seen = summary(yield* eventsOf(name))
        expect(seen.types).toEqual(["RunAccepted", "Token", "ApprovalRequested", "Approved", "Completed"])
        expect(seen.doubled).toEqual([])
      }
      const crossed = yield* cluster.database.query<{ runs: number }>(
        "select count(*)::int as runs from (select execution_id from agents.events where step <> 'accept' group by 1 having count(distinct release) = 2) as crossed"
      )
      expect(crossed[0]!.runs).toBeGreaterThan(0)
    }).pipe(Effect.provide(cluster.client))
  })
)
