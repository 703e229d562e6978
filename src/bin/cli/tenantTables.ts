/**
 * Where a tenant's data lies. A test reads the live schema and finds a table with a tenant that stands nowhere here.
 *
 * `$1` is the tenant. The SQL is an operator's, run as `migrator`: runners have no right to remove a run, and need none.
 */
export interface TenantTable {
  /** With its schema. */
  readonly name: string
  /** The rows of a tenant: a condition on `t`. */
  readonly where: string
  /** Column lists: `key` finds a row again, in this order rows are exported. */
  readonly key: string
  /** Rows that are left for now though they are the tenant's. */
  readonly unless?: string
}

const ended = "select r.execution_id from agents.runs r where r.tenant_id = $1 and r.finished_at is not null"

/** `agentEntityId`, in whichever shard group. */
const session = (table: string) =>
  `(${table}.entity_type = 'Agent' and starts_with(regexp_replace(${table}.entity_id, '^[^/]*:', ''), $1 || '/'))`

/** In this order they are removed: what refers to a row goes before it. What finds others goes last. */
export const tables: ReadonlyArray<TenantTable> = [
  {
    name: "cluster.cluster_replies",
    where: `t.request_id in (
      select m.id from cluster.cluster_messages m
      where m.entity_id in (${ended}) or ${session("m")})`,
    key: "id",
    // A message that is still to be taken up is a runner's.
    unless: "exists (select from cluster.cluster_messages o where o.id = t.request_id and not o.processed)"
  },
  {
    name: "cluster.cluster_messages",
    where: `t.entity_id in (${ended}) or ${session("t")}`,
    key: "id",
    unless: "not t.processed or exists (select from cluster.cluster_replies a where a.request_id = t.id)"
  },
  { name: "agents.steps", where: `t.execution_id in (${ended})`, key: "execution_id, name, attempt" },
  { name: "agents.engine_repairs", where: `t.execution_id in (${ended})`, key: "repair_id" },
  { name: "agents.events", where: "t.tenant_id = $1", key: "tenant_id, session_id, event_id" },
  { name: "agents.agent_events", where: "t.tenant_id = $1", key: "tier, day, tenant_id, session_id, event_id" },
  { name: "agents.memories", where: "t.tenant_id = $1", key: "tenant_id, memory_id" },
  { name: "agents.runs", where: "t.tenant_id = $1", key: "tenant_id, run_id" },
  // After the runs, without which none is recorded any more: a model may still be answering one that was cancelled.
  { name: "agents.token_usage", where: "t.tenant_id = $1", key: "execution_id, step" },
  { name: "agents.sessions", where: "t.tenant_id = $1", key: "tenant_id, session_id" },
  { name: "agents.tenant_tiers", where: "t.tenant_id = $1", key: "tenant_id" }
]

/** What a removal leaves, and why. An export has them too. */
export const kept: ReadonlyArray<TenantTable & { readonly why: string }> = [
  {
    name: "agents.tenant_limits",
    where: "t.tenant_id = $1",
    key: "tenant_id",
    why: "no run may start any more for a tenant that was removed"
  },
  { name: "agents.tenant_jobs", where: "t.tenant_id = $1", key: "job_id", why: "the proof" }
]
