import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { tokensOf } from "../../src/agent/model/LocalModel.ts"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { eventsOf, runId, session, summary, testCluster, untilEvent } from "../support/cluster.ts"

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
