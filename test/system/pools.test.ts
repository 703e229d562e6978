/** Pools of runners, one a shard group: whose runs go where, and what becomes of them when a pool goes. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { versionsOf } from "../../src/agent/versions.ts"
import { EventLog } from "../../src/domain/EventLog.ts"
import { SessionId, TenantId } from "../../src/domain/Ids.ts"
import { EventStore, eventLog } from "../../src/events/EventStore.ts"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { runId, summary, testCluster } from "../support/cluster.ts"
import { SHARDS, sharding } from "../support/sharding.ts"
import { until } from "../support/wait.ts"

vi.setConfig({ testTimeout: 180_000 })

const tenants = { large: TenantId.make("large"), small: TenantId.make("small") }
type Tenant = keyof typeof tenants

const session = (tenant: Tenant) => ({ tenantId: tenants[tenant], sessionId: SessionId.make("s") })

const ask = (tenant: Tenant, run: string) =>
  Effect.flatMap(AgentClient, (agent) =>
    agent.ask(session(tenant), { runId: runId(run), message: "approve follow-up:1", model: "local" })
  )

/** Accepted as `Ask` does it, and not started: its runner was killed in between, and its caller is gone. */
const accepted = (tenant: Tenant, run: string) =>
  Effect.gen(function* () {
    const request = { ...session(tenant), runId: runId(run), message: "hello", model: "local" }
    const log = yield* EventLog
    return (yield* log.accept({ ...request, versions: yield* versionsOf(request) })).run.workflow
  }).pipe(Effect.provide(eventLog))

/** The run once it has an event of this type. Its runner is the one that wrote the latest event. */
const after = (tenant: Tenant, run: string, type: string) =>
  until(
    `${type} of ${tenant}'s ${run}`,
    Effect.flatMap(EventStore, (store) => store.ofRun(tenants[tenant], runId(run), 0)),
    (events) => events.some(({ event }) => event._tag === type),
    "60 seconds"
  ).pipe(
    Effect.andThen(Effect.flatMap(AgentClient, (agent) => agent.status(session(tenant), runId(run)))),
    Effect.map(({ runner }) => runner)
  )

const approve = (tenant: Tenant, run: string) =>
  Effect.flatMap(AgentClient, (agent) => agent.approve(session(tenant), runId(run), "ann"))

it.scopedLive(
  "carries out an enterprise tenant's runs on the enterprise runners alone, and strands none when either pool goes",
  () =>
    Effect.gen(function* () {
      const cluster = yield* testCluster
      const pool = (ordinal: number, group: string) =>
        cluster.runner(ordinal, { env: { ASSIGNED_SHARD_GROUPS: group } })
      const [common, own] = yield* Effect.all([pool(0, "default"), pool(1, "enterprise")])
      yield* Effect.all([common.ready, own.ready])
      yield* until(
        "each holds the shards of its group",
        Effect.all([common, own].map((pod) => pod.metric("agents_shards_held"))),
        (held) => held.every((count) => count === sharding.shardsPerGroup),
        "60 seconds"
      )
      const enterprise = cluster.database.query(
        "insert into agents.tenant_tiers (tenant_id, tier) values ('large', 'enterprise')"
      )
      yield* enterprise

      yield* Effect.gen(function* () {
        expect((yield* ask("large", "first")).workflow).toBe("AgentWorkflowV2Enterprise")
        expect((yield* ask("large", "second")).workflow).toBe("AgentWorkflowV2Enterprise")
        // The id of a run is its tenant's own.
        expect((yield* ask("small", "first")).workflow).toBe("AgentWorkflowV2")
        expect(yield* after("large", "first", "ApprovalRequested")).toBe(own.name)
        expect(yield* after("large", "second", "ApprovalRequested")).toBe(own.name)
        expect(yield* after("small", "first", "ApprovalRequested")).toBe(common.name)
        yield* Effect.all([approve("large", "first"), approve("small", "first")])
        expect(yield* after("large", "first", "Completed")).toBe(own.name)
        expect(yield* after("small", "first", "Completed")).toBe(common.name)
        // Its tier goes, its open runs stay where they are.
        yield* cluster.database.query("delete from agents.tenant_tiers")
        expect((yield* ask("large", "second")).workflow).toBe("AgentWorkflowV2Enterprise")
        yield* enterprise

        // Everything of an execution, its sleep among it, lies in the group of its workflow.
        const places = yield* cluster.database.query<{ group: string; workflow: string }>(
          `select distinct split_part(m.shard_id, ':', 1) as "group", r.workflow
         from cluster.cluster_messages m join agents.runs r on r.execution_id = m.entity_id order by 1`
        )
        expect(places).toEqual([
          { group: "default", workflow: "AgentWorkflowV2" },
          { group: "enterprise", workflow: "AgentWorkflowV2Enterprise" }
        ])

        // The runners of everybody else are killed: this tenant's calls and runs do not wait for them.
        expect((yield* ask("small", "waits")).workflow).toBe("AgentWorkflowV2")
        expect(yield* after("small", "waits", "ApprovalRequested")).toBe(common.name)
        yield* common.signal("SIGKILL")
        yield* common.exit
        yield* approve("large", "second")
        expect((yield* ask("large", "third")).workflow).toBe("AgentWorkflowV2Enterprise")
        expect(yield* after("large", "third", "ApprovalRequested")).toBe(own.name)
        yield* approve("large", "third")
        expect(yield* after("large", "second", "Completed")).toBe(own.name)
        expect(yield* after("large", "third", "Completed")).toBe(own.name)

        // Of runs that were forgotten, each pool looks after its own.
        expect(yield* accepted("large", "forgotten")).toBe("AgentWorkflowV2Enterprise")
        expect(yield* accepted("small", "forgotten")).toBe("AgentWorkflowV2")
        yield* cluster.database.query(
          "update agents.runs set accepted_at = accepted_at - interval '1 minute' where run_id = 'forgotten'"
        )
        expect(yield* after("large", "forgotten", "Completed")).toBe(own.name)

        // A runner that is told of no group takes all that nobody holds, and both when it is alone.
        expect((yield* ask("large", "fourth")).workflow).toBe("AgentWorkflowV2Enterprise")
        expect(yield* after("large", "fourth", "ApprovalRequested")).toBe(own.name)
        const all = yield* cluster.runner(2)
        yield* all.ready
        yield* approve("small", "waits")
        expect(yield* after("small", "waits", "Completed")).toBe(all.name)
        expect(yield* after("small", "forgotten", "Completed")).toBe(all.name)
        yield* own.signal("SIGTERM")
        expect(yield* own.exit).toBe(0)
        yield* until("it holds all shards", all.metric("agents_shards_held"), (held) => held === SHARDS, "60 seconds")
        yield* approve("large", "fourth")
        expect(yield* after("large", "fourth", "Completed")).toBe(all.name)
        const store = yield* EventStore
        const runs = [
          ["large", "first"],
          ["large", "second"],
          ["large", "third"],
          ["large", "fourth"],
          ["large", "forgotten"],
          ["small", "first"],
          ["small", "waits"],
          ["small", "forgotten"]
        ] as const
        for (const [tenant, run] of runs) {
          expect(summary(yield* store.ofRun(tenants[tenant], runId(run), 0)).doubled).toEqual([])
        }
      }).pipe(Effect.provide(cluster.client))
    })
)
