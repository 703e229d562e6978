import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { agentWorkflow } from "../../src/agent/AgentWorkflow.ts"
import { tokensOf } from "../../src/agent/model/LocalModel.ts"
import { EventLog } from "../../src/domain/EventLog.ts"
import { eventLog } from "../../src/events/EventStore.ts"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { eventsOf, runId, session, summary, testCluster, untilEvent } from "../support/cluster.ts"
import { testImage } from "../support/image.ts"
import { until } from "../support/wait.ts"

vi.setConfig({ testTimeout: 180_000 })

it.scopedLive("carries a run from Ask to Completed, calling tools and waiting for an approval", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const runner = yield* cluster.runner(0)
    yield* runner.ready
    yield* Effect.gen(function* () {
      const agent = yield* AgentClient
      const message = "hello there tool:add=1+2 tool:nope approve tokens:40"
      const accepted = yield* agent.ask(session("s1"), { runId: runId("r1"), message, model: "local" })
      expect(accepted.status).toBe("accepted")
      yield* untilEvent("r1", "ApprovalRequested")
      expect((yield* agent.status(session("s1"), runId("r1"))).status).toBe("waiting")

      yield* agent.approve(session("s1"), runId("r1"), "ann")
      yield* untilEvent("r1", "Completed")
      const events = yield* eventsOf("r1")
      const seen = summary(events)
      expect(seen.types).toEqual([
        "RunAccepted",
        "Token",
        "ToolCall",
        "ToolResult",
        "ToolCall",
        "ToolResult",
        "ApprovalRequested",
        "Approved",
        "Completed"
      ])
      expect(seen.text).toBe(tokensOf(message).join(""))
      expect(seen.doubled).toEqual([])
      expect(seen.ascending).toBe(true)
      expect(
        events.flatMap(({ event }) => (event._tag === "ToolResult" ? [[event.outcome, event.output]] : []))
      ).toEqual([
        ["ok", "3"],
        ["refused", 'The tool "nope" is not among those that this tenant may use.']
      ])
      const done = yield* agent.status(session("s1"), runId("r1"))
      expect([done.status, done.runner, done.release]).toEqual(["completed", runner.name, "test"])
    }).pipe(Effect.provide(cluster.client))
    yield* runner.signal("SIGTERM")
    expect(yield* runner.exit).toBe(0)
  })
)

it.scopedLive("starts a run that was accepted and then forgotten by a crash", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    yield* Effect.gen(function* () {
      // As `Ask` leaves it when its runner is killed before the workflow's start, and the caller does not come back.
      const request = { ...session("lost"), runId: runId("lost"), message: "hello", model: "local" }
      const executionId = yield* agentWorkflow.workflow.executionId(request)
      const log = yield* EventLog
      yield* log.accept({ ...request, versions: [{ workflow: agentWorkflow.workflow.name, executionId }] })
      yield* cluster.database.query("update agents.runs set accepted_at = accepted_at - interval '1 minute'")
      const runner = yield* cluster.runner(0)
      yield* runner.ready
      yield* untilEvent("lost", "Completed", "60 seconds")
      expect(summary(yield* eventsOf("lost")).types).toEqual(["RunAccepted", "Token", "Completed"])
    }).pipe(Effect.provide(eventLog), Effect.provide(cluster.client))
  })
)

it.scopedLive("is alive and not ready while a migration is missing that its release needs", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const image = yield* testImage({ commit: "ahead" })
    yield* Effect.promise(() => writeFile(join(image.folder, "migrations", "9999_not_yet.sql"), "select 1"))
    const runner = yield* cluster.runner(0, { image })
    yield* until("alive", runner.get("/healthz"), ({ status }) => status === 200, "60 seconds")
    yield* until("the reason", runner.get("/readyz"), ({ body }) => body.includes("9999_not_yet"), "60 seconds")
    expect((yield* runner.get("/readyz")).status).toBe(503)
    yield* cluster.database.query("insert into agents.pgmigrations (name, run_on) values ('9999_not_yet', now())")
    yield* runner.ready
  })
)
