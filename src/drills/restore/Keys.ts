/** Whether a copy gives new rows new keys, and whether what it holds is whole in itself: asked of the copy alone. */
import { Snowflake } from "@effect/cluster"
import { Effect } from "effect"
import type { DrillAborted } from "../Drill.ts"
import type { Ask } from "./Compare.ts"

/** Sequences that belong to a column. Restored from a dump or a replica of rows, they may begin anew. */
const SEQUENCES = `
select n.nspname || '.' || quote_ident(c.relname) as "table", quote_ident(a.attname) as "column",
  pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) as sequence
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where n.nspname in ('agents', 'cluster') and c.relkind in ('r', 'p') and not a.attisdropped and a.attnum > 0
  and pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) is not null
order by 1, 2`

/** Clients resume by a session's event ids: one that is given twice is never shown. */
const SESSIONS = `
with written as (
  select tenant_id, session_id, event_id from agents.events
  union all select tenant_id, session_id, event_id from agents.agent_events
), last as (select tenant_id, session_id, max(event_id) as event_id from written group by 1, 2)
select l.tenant_id || '/' || l.session_id as session, l.event_id::text as "eventId", coalesce(s.last_event_id, 0)::text as "lastEventId"
from last l left join agents.sessions s using (tenant_id, session_id)
where coalesce(s.last_event_id, 0) < l.event_id limit 5`

/** Runs whose events are still where writers have them: the first says what was asked, the last how it ended. */
const INCOMPLETE = `
select r.tenant_id || '/' || r.run_id as run, r.status,
  exists (select from agents.events e where e.execution_id = r.execution_id and e.step = 'accept') as begun
from agents.runs r
where r.events_day is null and (
  not exists (select from agents.events e where e.execution_id = r.execution_id and e.step = 'accept')
  or (r.finished_at is not null and not exists (
    select from agents.events e where e.execution_id = r.execution_id and e.type in ('Completed', 'Failed', 'Cancelled')))
) limit 5`

/** New ids of the engine are made from the clock. */
const AHEAD = `
select max(id)::text as id from (select max(id) as id from cluster.cluster_messages union all select max(id) from cluster.cluster_replies) m
having max(id) >> 22 > (extract(epoch from clock_timestamp()) * 1000)::bigint - ${Snowflake.constEpochMillis}`

interface Sequence {
  readonly table: string
  readonly column: string
  readonly sequence: string
}

const behind = (ask: Ask, { table, column, sequence }: Sequence) =>
  Effect.map(
    ask<{ last: string; highest: string }>(
      `select s.last_value::text as last, max(t.${column})::text as highest from ${sequence} s, ${table} t
       group by s.last_value, s.is_called having max(t.${column}) > case when s.is_called then s.last_value else s.last_value - 1 end`,
      []
    ),
    (found) =>
      found.map(
        ({ last, highest }) =>
          `${sequence} stands at ${last}, but ${table}.${column} goes up to ${highest}: new rows would get keys that are taken`
      )
  )

/** Sentences for what is wrong. `copy` must be asked as the tables' owner: others may not read sequences. */
export const check = (copy: Ask): Effect.Effect<ReadonlyArray<string>, DrillAborted> =>
  Effect.gen(function* () {
    const sequences = yield* Effect.flatMap(copy<Sequence>(SEQUENCES, []), (all) =>
      Effect.forEach(all, (one) => behind(copy, one))
    )
    const sessions = yield* copy<{ session: string; eventId: string; lastEventId: string }>(SESSIONS, [])
    const incomplete = yield* copy<{ run: string; status: string; begun: boolean }>(INCOMPLETE, [])
    const ahead = yield* copy<{ id: string }>(AHEAD, [])
    return [
      ...sequences.flat(),
      ...sessions.map(
        ({ session, eventId, lastEventId }) =>
          `session ${session} has event ${eventId} and would number the next one ${Number(lastEventId) + 1}`
      ),
      ...incomplete.map(({ run, status, begun }) =>
        begun
          ? `run ${run} is ${status} and has no event that says so`
          : `run ${run} has no event that says what was asked`
      ),
      ...ahead.map(({ id }) => `the engine's id ${id} lies in the future: the clock here is behind the source's`)
    ]
  })
