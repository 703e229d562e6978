/** Runners with the library's message storage and steps, and with the grouped one and the journal, in one ring. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { eventsOf, runId, session, summary, testCluster, untilEvent } from "../support/cluster.ts"

vi.setConfig({ testTimeout: 180_000 })

it.scopedLive("carries on on either storage what a runner with the other one began", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const grouped = yield* cluster.runner(0, { env: { MESSAGE_STORAGE: "group", STEP_ENGINE: "journal" } })
    const stock = yield* cluster.runner(1, { env: { MESSAGE_STORAGE: "stock", STEP_ENGINE: "stock" } })
    yield* Effect.all([grouped.ready, stock.ready])
    yield* Effect.gen(function* () {
      const agent = yield* AgentClient
      const ask = (name: string, message: string) =>
        agent.ask(session(name), { runId: runId(name), message, model: "local" })
      const approve = (name: string) => agent.approve(session(name), runId(name), "ann")
      const names = Array.from({ length: 12 }, (_, index) => `both-${index}`)
      yield* Effect.forEach(names, (name) => ask(name, "approve please"), { concurrency: "unbounded" })
      yield* Effect.forEach(names, (name) => untilEvent(name, "ApprovalRequested"), { concurrency: "unbounded" })
      // Half go on on the storage that is left when the grouped one is killed, half on the one that comes after it.
      yield* grouped.signal("SIGKILL")
      yield* Effect.forEach(names.slice(0, 6), approve, { concurrency: "unbounded" })
      yield* Effect.forEach(names.slice(0, 6), (name) => untilEvent(name, "Completed"), { concurrency: "unbounded" })
      const next = yield* cluster.runner(2, { env: { MESSAGE_STORAGE: "group", STEP_ENGINE: "journal" } })
      yield* next.ready
      yield* stock.signal("SIGTERM")
      expect(yield* stock.exit).toBe(0)
      yield* Effect.forEach(names.slice(6), approve, { concurrency: "unbounded" })
      for (const name of names) {
        yield* untilEvent(name, "Completed")
        expect(summary(yield* eventsOf(name)).doubled).toEqual([])
      }
    }).pipe(Effect.provide(cluster.client))
  })
)
