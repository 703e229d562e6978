/**
 * The durable invariant, asked of a target's database: nothing that was accepted is lost, nothing is there twice.
 *
 * Asked when nothing is under way any more. The unique keys of the tables already refuse a second row of the same step;
 * what is counted here is what such a key can't see: a second outcome, or the same words under another key.
 */
import { Effect } from "effect"
import type { ToolFailed } from "../Errors.ts"
import type { TargetPlatform } from "../Platform.ts"

export interface Verdict {
  /** Runs in the database. */
  readonly runs: number
  /** Accepted runs with a prefix, to be compared with what the clients were told. */
  readonly runsOfLoad: number
  readonly executionsLost: number
  readonly eventsDoubled: number
  /** Up to ten sentences that name the runs. */
  readonly findings: ReadonlyArray<string>
}

/** Runs without exactly one outcome event, or whose status says that they are still open. */
const LOST = `
select r.run_id, r.status
from agents.runs r
where r.status in ('accepted', 'waiting')
   or not exists (
     select from agents.events e
     where e.execution_id = r.execution_id and e.type in ('Completed', 'Failed', 'Cancelled')
   )`

/** Once-only events that are there more than once; two outcomes of one run; answers whose pieces don't add up. */
const DOUBLED = `
select execution_id, min(run_id) as run_id, 'the event ' || type || ' ' || count(*) || ' times' as what, count(*) - 1 as extra
from agents.events where type in ('RunAccepted', 'ApprovalRequested', 'Approved')
group by execution_id, type having count(*) > 1
union all
select execution_id, min(run_id), count(*) || ' outcomes: ' || string_agg(type, ', ' order by event_id), count(*) - 1
from agents.events where type in ('Completed', 'Failed', 'Cancelled')
group by execution_id having count(*) > 1
union all
select e.execution_id, min(e.run_id), 'pieces of ' || sum(length(e.payload ->> 'text')) || ' characters for an answer of ' || length(min(c.payload ->> 'text')), 1
from agents.events e join agents.events c on c.execution_id = e.execution_id and c.type = 'Completed'
where e.type = 'Token'
group by e.execution_id having sum(length(e.payload ->> 'text')) > length(min(c.payload ->> 'text'))
union all
select execution_id, '', 'usage of ' || count(*) || ' identical steps', count(*) - 1
from agents.token_usage group by execution_id, step having count(*) > 1`

export const check = (
  target: string,
  platform: TargetPlatform,
  loadSessionPrefix: string
): Effect.Effect<Verdict, ToolFailed> =>
  Effect.gen(function* () {
    const [counts] = yield* platform.query<{ runs: number; load: number }>(
      `select count(*)::int as runs, count(*) filter (where session_id like '${loadSessionPrefix}%')::int as load from agents.runs`
    )
    const lost = yield* platform.query<{ run_id: string; status: string }>(LOST)
    const doubled = yield* platform.query<{ run_id: string; what: string; extra: string }>(DOUBLED)
    return {
      runs: counts!.runs,
      runsOfLoad: counts!.load,
      executionsLost: lost.length,
      eventsDoubled: doubled.reduce((sum, row) => sum + Number(row.extra), 0),
      findings: [
        ...lost.map((row) => `${target}: run ${row.run_id} never ended (status ${row.status})`),
        ...doubled.map((row) => `${target}: run ${row.run_id} has ${row.what}`)
      ].slice(0, 10)
    }
  })
