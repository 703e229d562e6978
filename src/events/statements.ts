/** The SQL of runs and events. */
import { Schema } from "effect"
import { Event } from "../domain/Event.ts"
import { EventId, RunId, SessionId } from "../domain/Ids.ts"
import { RunStatus } from "../domain/Run.ts"
import * as Statement from "../domain/Statement.ts"

/** `bigint` arrives as text: `pg` does not risk a lossy number. Ours stay far below 2^53. */
const BigIntColumn = Schema.compose(Schema.NumberFromString, EventId)

const runColumns = `r.run_id as "runId", r.session_id as "sessionId", r.status, r.workflow, r.execution_id as "executionId",
  r.release, r.runner, r.accepted_at as "acceptedAt", r.finished_at as "finishedAt"`

export const RunRow = Schema.Struct({
  runId: RunId,
  sessionId: SessionId,
  status: RunStatus,
  workflow: Schema.String,
  executionId: Schema.String,
  release: Schema.String,
  runner: Schema.NullOr(Schema.String),
  acceptedAt: Schema.DateFromSelf,
  finishedAt: Schema.NullOr(Schema.DateFromSelf)
})

const eventColumns = `e.event_id as "eventId", e.session_id as "sessionId", e.run_id as "runId", e.step, e.sequence,
  e.occurred_at as "occurredAt", jsonb_build_object('_tag', e.type) || e.payload as event`

export const EventRow = Schema.Struct({
  eventId: BigIntColumn,
  sessionId: SessionId,
  runId: RunId,
  step: Schema.String,
  sequence: Schema.NonNegativeInt,
  occurredAt: Schema.DateFromSelf,
  event: Event
})

/**
 * A run, and the event that says so, in one statement: there is never a run of which nobody knows what was asked. A run id
 * that is taken stays as it is, and nothing is written then.
 *
 * The foreign key to the session is looked at when the statement ends, so the run may come first: whoever loses the race
 * for its id must not take an event id of the session.
 *
 * `versions` are those of the run's workflow, newest first. The run gets the first that every live runner carries: a runner
 * that is to join says what it carries, and only then looks for work that it does not (`runtime/Joining.ts`), so whichever of
 * the two is first, the other sees it. A runner beats each 5 s; one that was killed counts for half a minute.
 * A version that names a tier is for its tenants alone. The tier is looked at here, once: from then on the run's row counts.
 * Versions come first that the releases carry too which may have to come back: a rollback must not find what it would strand.
 */
export const acceptRun = Statement.make<
  [
    tenantId: string,
    sessionId: string,
    runId: string,
    versions: string,
    release: string,
    runner: string,
    step: string,
    request: string
  ]
>()({
  name: "runs.accept",
  text: `
with version as (
  select v.item->>'workflow' as workflow, v.item->>'executionId' as execution_id
  from jsonb_array_elements($4::jsonb) with ordinality as v (item, place)
  where not exists (
    select from agents.runners l
    where l.seen_at > now() - interval '30 seconds'
      and not coalesce(l.carries->'workflows' ? (v.item->>'workflow'), false)
  )
  and (not v.item ? 'tier' or exists (
    select from agents.tenant_tiers t where t.tenant_id = $1 and t.tier = v.item->>'tier'
  ))
  order by exists (
    select from agents.releases d
    where d.state in ('deployed', 'rollback-choice')
      and not coalesce(d.surface->'workflows' ? (v.item->>'workflow'), false)
  ), v.place
  limit 1
), run as (
  insert into agents.runs (tenant_id, session_id, run_id, execution_id, workflow, status, release, runner)
  select $1, $2, $3, version.execution_id, version.workflow, 'accepted', $5, $6 from version
  on conflict (tenant_id, run_id) do nothing
  returning run_id, execution_id
), session as (
  insert into agents.sessions as s (tenant_id, session_id, last_event_id) select $1, $2, 1 from run
  on conflict (tenant_id, session_id) do update set last_event_id = s.last_event_id + 1
  returning s.last_event_id
)
insert into agents.events
  (tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release, occurred_at)
select $1, $2, session.last_event_id, $3, run.execution_id, $7, 0, 'RunAccepted', $8::jsonb, $5, clock_timestamp()
from session, run`,
  row: Statement.NoRow,
  probe: [
    "probe",
    "probe",
    "probe",
    '[{"workflow":"AgentWorkflow","executionId":"probe","tier":"probe"},{"workflow":"AgentWorkflow","executionId":"probe"}]',
    "probe",
    "probe",
    "probe",
    '{"message":"probe","model":"probe"}'
  ]
})

/** Asked when nothing was recorded: a trigger lets no run be inserted for a tenant that is closed. */
export const tenantClosed = Statement.make<[tenantId: string]>()({
  name: "tenants.closed",
  text: "select exists (select from agents.tenant_limits l where l.tenant_id = $1 and l.open_runs = 0) as closed",
  row: Schema.Struct({ closed: Schema.Boolean })
})

/** What was asked is null once the run's events have left the writers' table: see `requestKept`. */
export const runWithRequest = Statement.make<[tenantId: string, runId: string]>()({
  name: "runs.accepted",
  text: `
select ${runColumns}, e.payload->>'message' as message, e.payload->>'model' as model
from agents.runs r
left join agents.events e on e.execution_id = r.execution_id and e.step = 'accept' and e.sequence = 0
where r.tenant_id = $1 and r.run_id = $2`,
  row: Schema.Struct({
    ...RunRow.fields,
    message: Schema.NullOr(Schema.String),
    model: Schema.NullOr(Schema.String)
  })
})

/** The run's row names the partition, so that one is read and not hundreds. No row: its day is over. */
export const requestKept = Statement.make<[tenantId: string, runId: string]>()({
  name: "runs.accepted_kept",
  text: `
select e.payload->>'message' as message, e.payload->>'model' as model
from agents.runs r
cross join lateral (
  select k.payload from agents.agent_events k
  where k.tier = r.events_tier and k.day = r.events_day and k.tenant_id = $1 and k.run_id = $2 and k.step = 'accept'
  limit 1
) e
where r.tenant_id = $1 and r.run_id = $2`,
  row: Schema.Struct({ message: Schema.String, model: Schema.String })
})

export const runState = Statement.make<[tenantId: string, runId: string]>()({
  name: "runs.state",
  text: `select ${runColumns} from agents.runs r where r.tenant_id = $1 and r.run_id = $2`,
  row: RunRow
})

/**
 * One statement, so one round trip and one commit. Order of locks: the run's row, then the session's; all writers keep it.
 *
 * The run's row is the gate: its `finished_at is null` is looked at again after a wait for the lock, so nothing follows a
 * last event and of two last events one is written. The session's row hands out the ids under its lock, which is held to
 * the commit: ids become visible in their order. `pending` uses the statement's snapshot, so a rerun that really happens
 * at the same moment may reserve ids that `on conflict` then leaves unused. Gaps are allowed; doubles are not.
 */
export const appendEvents = Statement.make<
  [
    tenantId: string,
    sessionId: string,
    runId: string,
    executionId: string,
    entries: string,
    status: string | null,
    finished: boolean,
    runner: string,
    release: string
  ]
>()({
  name: "events.append",
  text: `
with given as (
  select items.position, items.item->>'step' as step, (items.item->>'sequence')::int as sequence,
    items.item->>'type' as type, items.item->'payload' as payload
  from jsonb_array_elements($5::jsonb) with ordinality as items (item, position)
), pending as (
  select given.*, row_number() over (order by given.position) as place
  from given
  where not exists (
    select from agents.events e
    where e.execution_id = $4 and e.step = given.step and e.sequence = given.sequence
  )
), gate as (
  update agents.runs
  set status = case when exists (select from pending) then coalesce($6, status) else status end,
    finished_at = case when $7::boolean then now() end,
    runner = $8
  where tenant_id = $1 and run_id = $3 and execution_id = $4 and finished_at is null
  returning run_id
), session as (
  update agents.sessions
  set last_event_id = last_event_id + (select count(*) from pending)
  where tenant_id = $1 and session_id = $2 and exists (select from gate) and exists (select from pending)
  returning last_event_id
), written as (
  insert into agents.events
    (tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release, occurred_at)
  select $1, $2, session.last_event_id - (select count(*) from pending) + pending.place, $3, $4,
    pending.step, pending.sequence, pending.type, pending.payload, $9, clock_timestamp()
  from pending, session
  on conflict (execution_id, step, sequence) do nothing
  returning event_id
)
select exists (select from gate) as open, (select count(*) from written)::int as written`,
  row: Schema.Struct({ open: Schema.Boolean, written: Schema.Int }),
  probe: [
    "probe",
    "probe",
    "probe",
    "probe",
    `[{"step":"probe","sequence":0,"type":"Token","payload":{"text":"probe"}}]`,
    "accepted",
    false,
    "probe",
    "probe"
  ]
})

export const eventsOfStep = Statement.make<[executionId: string, step: string]>()({
  name: "events.of_step",
  text: `select ${eventColumns} from agents.events e where e.execution_id = $1 and e.step = $2 order by e.sequence`,
  row: EventRow
})

export const eventsOfSession = Statement.make<[tenantId: string, sessionId: string, after: number, limit: number]>()({
  name: "events.of_session",
  text: `
select ${eventColumns} from agents.events e
where e.tenant_id = $1 and e.session_id = $2 and e.event_id > $3
order by e.event_id limit $4`,
  row: EventRow
})

export const eventsOfRun = Statement.make<[tenantId: string, runId: string, after: number, limit: number]>()({
  name: "events.of_run",
  text: `
select ${eventColumns} from agents.events e
where e.tenant_id = $1 and e.run_id = $2 and e.event_id > $3
order by e.event_id limit $4`,
  row: EventRow
})

/**
 * The sessions of which events after the cursor have left the writers' table. Asked after the read of it: whatever that missed is
 * said here. Partitions are asked only then, since to plan for hundreds of them takes longer than to read one.
 */
export const sessionsKept = Statement.make<[cursors: string]>()({
  name: "sessions.kept",
  text: `
select c.key
from jsonb_to_recordset($1::jsonb) as c (key int, tenant_id text, session_id text, after bigint)
join agents.sessions s on s.tenant_id = c.tenant_id and s.session_id = c.session_id and s.kept_event_id > c.after`,
  row: Schema.Struct({ key: Schema.Int })
})

export const runKept = Statement.make<[tenantId: string, runId: string]>()({
  name: "runs.kept",
  text: "select r.events_day is not null as kept from agents.runs r where r.tenant_id = $1 and r.run_id = $2",
  row: Schema.Struct({ kept: Schema.Boolean })
})

/** Both places in one snapshot: a session may have an open run that is older than one whose events were moved. */
export const eventsOfSessionKept = Statement.make<
  [tenantId: string, sessionId: string, after: number, limit: number]
>()({
  name: "events.of_session_kept",
  text: `
select ${eventColumns} from (
  (
    select n.event_id, n.session_id, n.run_id, n.step, n.sequence, n.occurred_at, n.type, n.payload
    from agents.events n
    where n.tenant_id = $1 and n.session_id = $2 and n.event_id > $3
    order by n.event_id limit $4
  )
  union all
  (
    select k.event_id, k.session_id, k.run_id, k.step, k.sequence, k.occurred_at, k.type, k.payload
    from (
      select distinct r.events_tier, r.events_day from agents.runs r
      where r.tenant_id = $1 and r.session_id = $2 and r.events_day is not null
    ) place
    cross join lateral (
      select * from agents.agent_events e
      where e.tier = place.events_tier and e.day = place.events_day
        and e.tenant_id = $1 and e.session_id = $2 and e.event_id > $3
      order by e.event_id limit $4
    ) k
  )
) e
order by e.event_id limit $4`,
  row: EventRow
})

export const eventsOfRunKept = Statement.make<[tenantId: string, runId: string, after: number, limit: number]>()({
  name: "events.of_run_kept",
  text: `
select ${eventColumns} from agents.runs r
cross join lateral (
  select * from agents.agent_events k
  where k.tier = r.events_tier and k.day = r.events_day and k.tenant_id = $1 and k.run_id = $2 and k.event_id > $3
  order by k.event_id limit $4
) e
where r.tenant_id = $1 and r.run_id = $2
order by e.event_id`,
  row: EventRow
})

/** Everything new for all sessions that somebody in this process listens to: one query however many there are. */
export const eventsOfCursors = Statement.make<[cursors: string, limitEach: number]>()({
  name: "events.of_cursors",
  text: `
select c.key, ${eventColumns}
from jsonb_to_recordset($1::jsonb) as c (key int, tenant_id text, session_id text, after bigint)
cross join lateral (
  select * from agents.events n
  where n.tenant_id = c.tenant_id and n.session_id = c.session_id and n.event_id > c.after
  order by n.event_id limit $2
) e
order by c.key, e.event_id`,
  row: Schema.Struct({ ...EventRow.fields, key: Schema.Int })
})

/**
 * What a step used: once per execution and step, and whether the run is open or not, since one that was cancelled
 * meanwhile has spent it all the same. An answer that broke off was recorded as far as it came: the attempt that got further
 * replaces it, and one that got less far changes nothing. Of a removed tenant nothing is recorded: its runs are gone, and while this is under way
 * the lock holds up who removes them.
 * When the first answer of an execution is not on record, a release gave it that leaves all of it to the run's last step.
 * The second is left to it too then (`settleUsage`): that release would count it again.
 */
export const recordUsage = Statement.make<
  [tenantId: string, executionId: string, step: string, model: string, inputTokens: number, outputTokens: number]
>()({
  name: "token_usage.record",
  text: `
insert into agents.token_usage (tenant_id, execution_id, step, workflow, model, input_tokens, output_tokens)
select $1, $2, $3, run.workflow, $4, $5, $6
from (select r.workflow from agents.runs r where r.tenant_id = $1 and r.execution_id = $2 for key share) as run
where $3 <> 'follow-up' or exists (select from agents.token_usage u where u.execution_id = $2 and u.step = 'model')
on conflict (execution_id, step) do update set model = excluded.model,
  input_tokens = greatest(token_usage.input_tokens, excluded.input_tokens), output_tokens = excluded.output_tokens
where excluded.output_tokens > token_usage.output_tokens`,
  row: Statement.NoRow,
  probe: ["probe", "probe", "model", "probe", 1, 1]
})

/** What a run's answers used as a whole, less what is on record of them. */
export const settleUsage = Statement.make<
  [tenantId: string, executionId: string, model: string, inputTokens: number, outputTokens: number]
>()({
  name: "token_usage.settle",
  text: `
insert into agents.token_usage (tenant_id, execution_id, step, workflow, model, input_tokens, output_tokens)
select $1, $2, 'rest', run.workflow, $3, greatest($4 - known.input, 0), greatest($5 - known.output, 0)
from (select r.workflow from agents.runs r where r.tenant_id = $1 and r.execution_id = $2 for key share) as run,
  (
    select coalesce(sum(u.input_tokens), 0)::bigint as input, coalesce(sum(u.output_tokens), 0)::bigint as output
    from agents.token_usage u where u.execution_id = $2 and u.step in ('model', 'follow-up', 'rest')
  ) as known
where $4 > known.input or $5 > known.output
on conflict (execution_id, step) do nothing`,
  row: Statement.NoRow,
  probe: ["probe", "probe", "probe", 1, 1]
})
