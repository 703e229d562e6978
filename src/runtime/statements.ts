/** The SQL of processes about themselves. */
import { Schema } from "effect"
import * as Statement from "../domain/Statement.ts"

/** node-pg-migrate's own table. */
export const appliedMigrations = Statement.make<[]>()({
  name: "migrations.applied",
  text: "select name from agents.pgmigrations",
  row: Schema.Struct({ name: Schema.String })
})

/** Answers with its transaction: see `settled`. */
export const beat = Statement.make<[runner: string, release: string, carries: string]>()({
  name: "runners.beat",
  text: `
insert into agents.runners (runner, release, carries) values ($1, $2, $3::jsonb)
on conflict (runner) do update set
  release = excluded.release,
  carries = excluded.carries,
  started_at = case when agents.runners.release = excluded.release then agents.runners.started_at else now() end,
  seen_at = now()
returning pg_current_xact_id()::text as transaction`,
  row: Schema.Struct({ transaction: Schema.String }),
  probe: ["probe", "probe", "{}"]
})

/** Whether everybody who wrote at the time of that transaction has ended: whoever writes from now on sees what it wrote. */
export const settled = Statement.make<[transaction: string]>()({
  name: "runners.settled",
  text: "select pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 as settled",
  row: Schema.Struct({ settled: Schema.Boolean })
})

/**
 * Open work of types that are not among those given: runs that have not ended, messages that nobody took up, executions that
 * wait. A dead execution demands nothing. Types that are carried are left out before anything else is looked at, and there
 * are seldom any others: on a runner's start this is one pass over the messages.
 */
export const openBeside = Statement.make<[types: string]>()({
  name: "runners.open_beside",
  text: `
with carried as (
  select jsonb_array_elements_text($1::jsonb) as type
), open as (
  select 'Workflow/' || r.workflow as type, r.execution_id as id from agents.runs r
  where r.finished_at is null and 'Workflow/' || r.workflow not in (select type from carried)
  union
  select m.entity_type::text, m.entity_id::text
  from cluster.cluster_messages m
  left join cluster.cluster_replies a on a.request_id = m.id and a.kind = 0
  where m.kind = 0 and m.entity_type not in (select type from carried)
    and (not m.processed
      or (m.tag = 'run' and (a.id is null or a.payload like '{"\\_tag":"Success","value":{"\\_tag":"Suspended"%')))
)
select type, count(*)::int as open, (array_agg(id order by id))[1:5] as ids from open group by type order by type`,
  row: Schema.Struct({ type: Schema.String, open: Schema.Int, ids: Schema.Array(Schema.String) })
})

/**
 * Whether the sessions of this tenant lie in its tier's shard group: while every live runner carries the workflow of that tier. A
 * release that does not carry it does not know the ids of such sessions either.
 */
export const ownSessions = Statement.make<[tenantId: string, tier: string, workflow: string]>()({
  name: "runners.own_sessions",
  text: `
select exists (select from agents.tenant_tiers t where t.tenant_id = $1 and t.tier = $2)
  and not exists (
    select from agents.runners l
    where l.seen_at > now() - interval '30 seconds' and not coalesce(l.carries->'workflows' ? $3, false)
  ) as own`,
  row: Schema.Struct({ own: Schema.Boolean })
})

/** Leaves the row of a successor with the same name: a StatefulSet's pod comes back under it. */
export const leave = Statement.make<[runner: string, release: string]>()({
  name: "runners.leave",
  text: "delete from agents.runners where runner = $1 and release = $2",
  row: Statement.NoRow,
  probe: ["probe", "probe"]
})

/** Rows of runners that were killed and did not come back. A live one beats each 5 s. */
export const forget = Statement.make<[]>()({
  name: "runners.forget",
  text: "delete from agents.runners where seen_at < now() - interval '1 minute'",
  row: Statement.NoRow,
  probe: []
})

/**
 * Runs that were accepted but of which nothing else was heard: `Ask` writes the run's rows before it starts the workflow,
 * and a runner that is killed between the two, with the caller gone too, would leave them so. Starting one again that did
 * start changes nothing.
 */
export const acceptedOnly = Statement.make<[limit: number, workflows: ReadonlyArray<string>]>()({
  name: "runs.accepted_only",
  text: `
select r.tenant_id as "tenantId", r.session_id as "sessionId", r.run_id as "runId", r.workflow,
  e.payload->>'message' as message, e.payload->>'model' as model
from agents.runs r
join agents.events e on e.execution_id = r.execution_id and e.step = 'accept' and e.sequence = 0
where r.finished_at is null and r.accepted_at < now() - interval '15 seconds' and r.workflow = any($2::text[])
  and not exists (select from agents.events n where n.execution_id = r.execution_id and n.step <> 'accept')
order by r.accepted_at limit $1`,
  row: Schema.Struct({
    tenantId: Schema.String,
    sessionId: Schema.String,
    runId: Schema.String,
    workflow: Schema.String,
    message: Schema.String,
    model: Schema.String
  })
})

/** For the metrics: an index of open runs alone answers it. */
export const openRuns = Statement.make<[]>()({
  name: "runs.open",
  text: `
select status, count(*)::int as runs,
  extract(epoch from now() - min(accepted_at))::float8 as "oldestSeconds"
from agents.runs where finished_at is null group by status`,
  row: Schema.Struct({ status: Schema.String, runs: Schema.Int, oldestSeconds: Schema.Number })
})

/**
 * Ends the database session with which a runner holds its shards. Advisory locks do not expire: a runner that is frozen,
 * or on a node that lost its network, would keep them for as long as its connection is believed in. Roles may end their own
 * role's sessions.
 */
export const fence = Statement.make<[applicationName: string]>()({
  name: "runners.fence",
  text: `
select count(pg_terminate_backend(holders.pid))::int as ended
from (
  select distinct a.pid
  from pg_stat_activity a join pg_locks l using (pid)
  where a.application_name = $1 and a.datname = current_database() and a.usename = current_user
    and l.locktype = 'advisory' and a.pid <> pg_backend_pid()
) holders`,
  row: Schema.Struct({ ended: Schema.Int }),
  probe: ["probe"]
})
