/**
 * Events of ended runs: out of the writers' table, into a day's partition of their tenant's tier, and gone with that day.
 *
 * `agents.events` stays one table with one unique key (execution, step, sequence). A partitioned one would need the day in the
 * key, and a step that is repeated after midnight would then be written twice. A run's events move when it has ended, and
 * `events.append` writes nothing to a run that has: so the key guards for as long as there is something to guard.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Clock, Duration, Effect, Schema } from "effect"
import * as Statement from "../domain/Statement.ts"
import { eventsOfSessionKept } from "./statements.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/**
 * Runs that one statement moves: some thousand rows. A backlog of 100,000 runs with 600,000 events went in 47 s on two busy cores,
 * 2,100 runs a second.
 */
export const BATCH = 100

/** Days for which partitions are there before they are needed: a week without a runner that makes them does no harm. */
export const AHEAD = 7

const keepPartitions = Statement.make<[ahead: number]>()({
  name: "event_retention.partitions",
  text: "select change, partition from agents.keep_event_partitions($1)",
  row: Schema.Struct({ change: Schema.Literal("made", "dropped"), partition: Schema.String })
})

/**
 * Moves the events of runs that ended some hours ago (`retention_tiers.live_hours`), each run's all at once. Locks in the order
 * of the writers: runs, then sessions. A day that is over already is not written any more: its events just go.
 *
 * Waits while a release that may still run does not read what was moved.
 */
const moveEnded = Statement.make<[limit: number, reads: string]>()({
  name: "event_retention.move",
  text: `
with due as (
  select r.tenant_id, r.run_id, r.execution_id, w.tier, w.event_days::int as days, (r.finished_at at time zone 'utc')::date as day
  from agents.runs r
  left join agents.tenant_tiers t on t.tenant_id = r.tenant_id
  join agents.retention_tiers w on w.tier = coalesce(t.tier, 'standard')
  where r.finished_at is not null and r.events_day is null and r.finished_at < now() - interval '1 hour' * w.live_hours
    and not exists (
      select from agents.releases d
      where d.state <> 'retired' and not d.surface->'statements' @> jsonb_build_array(jsonb_build_object('name', $2::text))
    )
  order by r.finished_at limit $1
  for update of r skip locked
), stamped as (
  update agents.runs r set events_tier = due.tier, events_day = due.day
  from due where r.tenant_id = due.tenant_id and r.run_id = due.run_id
  returning 1
), moved as (
  delete from agents.events e using due where e.execution_id = due.execution_id
  returning due.tier, due.days, due.day, e.*
), sessions as (
  update agents.sessions s set kept_event_id = greatest(s.kept_event_id, last.event_id)
  from (select tenant_id, session_id, max(event_id) as event_id from moved group by 1, 2) last
  where s.tenant_id = last.tenant_id and s.session_id = last.session_id
), kept as (
  insert into agents.agent_events (
    tier, day, tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release, occurred_at
  )
  select tier, day, tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release, occurred_at
  from moved where day + days >= (now() at time zone 'utc')::date
)
select (select count(*) from stamped)::int as runs, (select count(*) from moved)::int as events`,
  row: Schema.Struct({ runs: Schema.Int, events: Schema.Int }),
  // None: a run that is due may be of a day whose partition nobody has made yet.
  probe: [0, eventsOfSessionKept.name]
})

/** How long the oldest run that waits to be moved has been due, by the longest of the tiers' hours. One look at the index. */
const lag = Statement.make<[]>()({
  name: "event_retention.lag",
  text: `
select coalesce(greatest(extract(epoch from now() - (
  select r.finished_at from agents.runs r
  where r.finished_at is not null and r.events_day is null order by r.finished_at limit 1
)) - 3600 * (select max(live_hours) from agents.retention_tiers), 0), 0)::float8 as seconds`,
  row: Schema.Struct({ seconds: Schema.Number })
})

export const lagSeconds: Sql<number> = Effect.map(lag.run(), ([row]) => row?.seconds ?? 0)

export interface Kept {
  readonly runs: number
  readonly events: number
  /** Nothing that was due is left. */
  readonly done: boolean
  readonly made: ReadonlyArray<string>
  readonly dropped: ReadonlyArray<string>
}

/**
 * Makes and drops partitions, then moves what is due, batch by batch: at most `limit` runs, and no new batch after `within`.
 * May be repeated, and cut anywhere.
 */
export const keep = ({
  limit = Number.POSITIVE_INFINITY,
  within = Duration.infinity
}: {
  readonly limit?: number
  readonly within?: Duration.DurationInput
}): Sql<Kept> =>
  Effect.gen(function* () {
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(within)
    const changes: Array<{ readonly change: "made" | "dropped"; readonly partition: string }> = []
    for (;;) {
      // A call makes some and says so; it ends, since each makes or drops what no later one does.
      const some = yield* keepPartitions.run(AHEAD)
      if (some.length === 0) break
      changes.push(...some)
    }
    let runs = 0
    let events = 0
    let done = false
    while (!done && runs < limit) {
      const batch = Math.min(BATCH, limit - runs)
      const [moved] = yield* moveEnded.run(batch, eventsOfSessionKept.name)
      runs += moved?.runs ?? 0
      events += moved?.events ?? 0
      done = (moved?.runs ?? 0) < batch
      if ((yield* Clock.currentTimeMillis) >= until) break
    }
    const named = (change: "made" | "dropped") =>
      changes.filter((one) => one.change === change).map((one) => one.partition)
    return { runs, events, done, made: named("made"), dropped: named("dropped") }
  })
