/** What may become of a message between the database and the execution that waits for it. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { eventsOf, runId, session, summary, type TestCluster, testCluster, untilEvent } from "../support/cluster.ts"
import { until } from "../support/wait.ts"

vi.setConfig({ testTimeout: 120_000 })

/** Starts a run that waits for its approval, and waits until the execution has left the memory. */
const suspended = (cluster: TestCluster, name: string) =>
  Effect.gen(function* () {
    const agent = yield* AgentClient
    yield* agent.ask(session(name), { runId: runId(name), message: "approve please", model: "local" })
    yield* untilEvent(name, "ApprovalRequested")
    yield* until(
      "the execution is suspended",
      cluster.database.query<{ count: number }>(
        "select count(*)::int from cluster.cluster_messages where tag = 'run' and not processed"
      ),
      ([row]) => row?.count === 0
    )
  })

/** The message of an activity as a runner leaves it that dies just after it asked for it. */
const leaveActivity = (cluster: TestCluster, name: string) =>
  cluster.database.query(
    `insert into cluster.cluster_messages
       (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, trace_id, span_id, sampled, processed, request_id)
     select id + 7, replace(message_id, 'RequestApproval', $1), shard_id, entity_type, entity_id, kind, tag,
       replace(payload, 'RequestApproval', $1), headers, trace_id, span_id, sampled, false, id + 7
     from cluster.cluster_messages where message_id like '%activity/RequestApproval/1'`,
    [name]
  )

const unread = (cluster: TestCluster) =>
  cluster.database.query<{ count: number }>(
    "select count(*)::int from cluster.cluster_messages where not processed and last_read is null"
  )

it.scopedLive("gives a shard away although an activity on it waits for an execution that does not ask for it", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    // With the journal activities are no messages.
    const stock = { env: { STEP_ENGINE: "stock" } }
    const first = yield* cluster.runner(0, stock)
    yield* first.ready
    yield* Effect.gen(function* () {
      yield* suspended(cluster, "parked")
      yield* leaveActivity(cluster, "RecordApproval")
      yield* until("it is read", unread(cluster), ([row]) => row?.count === 0)
      const second = yield* cluster.runner(1, stock)
      yield* second.ready
      const told = Date.now()
      yield* first.signal("SIGTERM")
      expect(yield* first.exit).toBe(0)
      // The library's own way is to wait for the termination timeout, 15 s.
      expect(Date.now() - told).toBeLessThan(12_000)
      const agent = yield* AgentClient
      yield* agent.approve(session("parked"), runId("parked"), "ann")
      yield* untilEvent("parked", "Completed")
      const seen = summary(yield* eventsOf("parked"))
      expect(seen.types).toEqual(["RunAccepted", "Token", "ApprovalRequested", "Approved", "Completed"])
      expect(seen.doubled).toEqual([])
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("reads a message again that somebody marked as read and never began", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const runner = yield* cluster.runner(0)
    yield* runner.ready
    yield* Effect.gen(function* () {
      yield* suspended(cluster, "astray")
      // As a frozen runner does that wakes up and reads once more: the approval is marked before its owner sees it.
      yield* cluster.database.query(
        `create function mark() returns trigger language plpgsql as
           $$ begin if new.tag = 'deferred' then new.last_read := now(); end if; return new; end $$`
      )
      yield* cluster.database.query(
        "create trigger mark before insert on cluster.cluster_messages for each row execute function mark()"
      )
      const agent = yield* AgentClient
      yield* agent.approve(session("astray"), runId("astray"), "ann")
      yield* untilEvent("astray", "Completed", "20 seconds")
    }).pipe(Effect.provide(cluster.client))
  })
)
