/**
 * What a copy must hold of the database that it is a copy of. A test reads the live schema and finds a table that stands nowhere here.
 *
 * Only what never changes once it is there is compared: a run's status may be another in the copy, since time has gone on, but that it
 * was accepted, what it wrote, and the end that it came to may not.
 */
import { Snowflake } from "@effect/cluster"

export interface Content {
  /** As findings call it. */
  readonly name: string
  /** Tables that it is made of, with their schema. */
  readonly tables: ReadonlyArray<string>
  /** What stands behind `from`; its alias is `t`. */
  readonly from: string
  /** When a row came to be. */
  readonly at: string
  /** Column lists: what finds a row again, and what must be the same. */
  readonly key: string
  readonly same: string
}

/** The engine's ids begin with the milliseconds since its own epoch. */
const bornAt = (id: string) =>
  `timestamptz 'epoch' + ((${id} >> 22) + ${Snowflake.constEpochMillis}) * interval '1 millisecond'`

const table = (name: string, at: string, key: string, same: string): Content => ({
  name,
  tables: [name],
  from: `${name} t`,
  at,
  key,
  same
})

const eventColumns =
  "tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release, occurred_at"

export const contents: ReadonlyArray<Content> = [
  table("agents.sessions", "t.created_at", "t.tenant_id, t.session_id", "t.created_at"),
  table(
    "agents.runs",
    "t.accepted_at",
    "t.tenant_id, t.run_id",
    "t.session_id, t.execution_id, t.workflow, t.release, t.accepted_at"
  ),
  {
    name: "ends of runs",
    tables: ["agents.runs"],
    from: "agents.runs t",
    // Null where a run is open: then the row is not looked at.
    at: "t.finished_at",
    key: "t.tenant_id, t.run_id",
    same: "t.status, t.finished_at"
  },
  {
    name: "events",
    tables: ["agents.events", "agents.agent_events"],
    // A run's events change tables when it has ended for a while; one statement sees each of them once.
    from: `(select ${eventColumns} from agents.events union all select ${eventColumns} from agents.agent_events) t`,
    at: "t.occurred_at",
    key: "t.tenant_id, t.session_id, t.event_id",
    same: "t.run_id, t.execution_id, t.step, t.sequence, t.type, t.payload, t.release, t.occurred_at"
  },
  table("agents.steps", "t.finished_at", "t.execution_id, t.name, t.attempt", "t.exit, t.release, t.fingerprint"),
  table(
    "agents.token_usage",
    "t.recorded_at",
    "t.execution_id, t.step",
    "t.tenant_id, t.workflow, t.model, t.input_tokens, t.output_tokens, t.recorded_at"
  ),
  table(
    "agents.memories",
    "t.created_at",
    "t.tenant_id, t.memory_id",
    "t.execution_id, t.idempotency_key, t.body, t.created_at"
  ),
  table(
    "cluster.cluster_messages",
    bornAt("t.id"),
    "t.id",
    "t.message_id, t.shard_id, t.entity_type, t.entity_id, t.kind, t.tag, t.payload, t.deliver_at"
  ),
  table("cluster.cluster_replies", bornAt("t.id"), "t.id", "t.kind, t.request_id, t.payload, t.sequence"),
  table("agents.engine_repairs", "t.repaired_at", "t.repair_id", "t.workflow, t.execution_id, t.message_id, t.why"),
  table("agents.releases", "t.recorded_at", "t.release", "t.surface"),
  table("agents.rollouts", "t.recorded_at", "t.target, t.rollout", "t.release"),
  table("agents.evidence", "t.recorded_at", "t.evidence_id", "t.release, t.gate, t.verdict, t.evidence"),
  table("agents.migration_checksums", "t.recorded_at", "t.name", "t.sha256"),
  table("agents.pgmigrations", "t.run_on at time zone 'utc'", "t.name", "t.id"),
  table("agents.tenant_jobs", "t.started_at", "t.job_id", "t.tenant_id, t.kind, t.requested_by, t.why"),
  table("agents.tenant_limits", "t.updated_at", "t.tenant_id", "t.requests_per_second, t.open_runs, t.tokens_per_day"),
  table("agents.tenant_tiers", "t.updated_at", "t.tenant_id", "t.tier"),
  table(
    "agents.model_prices",
    "t.recorded_at",
    "t.model, t.valid_from",
    "t.input_usd_per_million, t.output_usd_per_million"
  ),
  table("agents.retention_tiers", "timestamptz 'epoch'", "t.tier", "t.tier")
]

/** What is not compared, and why. */
export const notCompared: Readonly<Record<string, string>> = {
  "agents.runners": "says who lives now, and nobody lives in a copy",
  "agents.shard_epochs": "counts takings of shards, and is only ever raised",
  "cluster.cluster_locks": "says who holds shards now; empty where locks are the server's own, as here",
  "cluster.cluster_runners": "says who lives now, and nobody lives in a copy",
  "cluster.cluster_migrations": "the library's own record, which its release reads at every start"
}
