/**
 * The durable invariant, asked of a target's database: nothing that was accepted is lost, nothing is there twice.
 *
 * Asked when the runs in question have had time to end. The unique keys of the tables already refuse a second row of the
 * same step; what is counted here is what such a key can't see: a second outcome, or the same words under another key.
 */
import { Effect } from "effect"

export interface Verdict {
  readonly runs: number
  /** Accepted runs that have no outcome. */
  readonly executionsLost: number
  readonly eventsDoubled: number
  /** Up to ten sentences that name the runs. */
  readonly findings: ReadonlyArray<string>
}

/** Runs one query that reads. `$1` is a pattern for `like`. */
export type Query<E> = <Row extends object>(text: string, pattern: string) => Effect.Effect<ReadonlyArray<Row>, E>

const RUNS = "select count(*)::int as runs from agents.runs where session_id like $1"

/** Runs without an outcome event, or whose status says that they are still open. */
const LOST = `
select r.run_id, r.status
from agents.runs r
where r.session_id like $1 and (r.status in ('accepted', 'waiting') or not exists (
  select from agents.events e
  where e.execution_id = r.execution_id and e.type in ('Completed', 'Failed', 'Cancelled')
))`

/** Once-only events that are there more than once; two outcomes of one run; more pieces than the answer has letters. */
const DOUBLED = `
with events as (select * from agents.events where session_id like $1)
select min(run_id) as run_id, 'the event ' || type || ' ' || count(*) || ' times' as what, (count(*) - 1)::int as extra
from events where type in ('RunAccepted', 'ApprovalRequested', 'Approved')
group by execution_id, type having count(*) > 1
union all
select min(run_id), count(*) || ' outcomes: ' || string_agg(type, ', ' order by event_id), (count(*) - 1)::int
from events where type in ('Completed', 'Failed', 'Cancelled')
group by execution_id having count(*) > 1
union all
select min(e.run_id), 'pieces of ' || sum(length(e.payload ->> 'text')) || ' letters for an answer of ' || length(min(c.payload ->> 'text')), 1
from events e join events c on c.execution_id = e.execution_id and c.type = 'Completed'
where e.type = 'Token'
group by e.execution_id having sum(length(e.payload ->> 'text')) > length(min(c.payload ->> 'text'))`

/** `where` names the target in findings; `sessions` is a `like` pattern, `%` for all. */
export const check = <E>(where: string, query: Query<E>, sessions = "%"): Effect.Effect<Verdict, E> =>
  Effect.gen(function* () {
    const [counted] = yield* query<{ runs: number }>(RUNS, sessions)
    const lost = yield* query<{ run_id: string; status: string }>(LOST, sessions)
    const doubled = yield* query<{ run_id: string; what: string; extra: number }>(DOUBLED, sessions)
    return {
      runs: counted!.runs,
      executionsLost: lost.length,
      eventsDoubled: doubled.reduce((sum, row) => sum + row.extra, 0),
      findings: [
        ...lost.map((row) => `${where}: run ${row.run_id} never ended (status ${row.status})`),
        ...doubled.map((row) => `${where}: run ${row.run_id} has ${row.what}`)
      ].slice(0, 10)
    }
  })
