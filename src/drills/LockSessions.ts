/**
 * The database sessions with which runners hold their shards: those with advisory locks. Role `drill` may end them
 * (`pg_signal_backend`). A runner's sessions are named after its host name, which begins with its pod's.
 */
import { Effect } from "effect"
import type { DrillAborted } from "./Drill.ts"

export interface LockSessions {
  /** The process ids of the server's side. */
  readonly sessions: (pod: string) => Effect.Effect<ReadonlyArray<number>, DrillAborted>
  readonly end: (sessions: ReadonlyArray<number>) => Effect.Effect<void, DrillAborted>
  /** Which of them are still there. */
  readonly alive: (sessions: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<number>, DrillAborted>
}

const HELD_BY = `
select distinct a.pid from pg_stat_activity a join pg_locks l using (pid)
where l.locktype = 'advisory' and a.datname = current_database() and starts_with(a.application_name, $1) order by a.pid`

const END = "select pg_terminate_backend(pid) from unnest($1::int[]) pid"

const ALIVE = "select pid from pg_stat_activity where pid = any($1::int[]) order by pid"

type Query = <Row extends object>(
  text: string,
  values: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<Row>, DrillAborted>

export const make = (query: Query): LockSessions => {
  const pids = (text: string, value: unknown) =>
    Effect.map(query<{ pid: number }>(text, [value]), (rows) => rows.map(({ pid }) => pid))
  return {
    sessions: (pod) => pids(HELD_BY, `${pod}.`),
    end: (sessions) => Effect.asVoid(query(END, [sessions])),
    alive: (sessions) => pids(ALIVE, sessions)
  }
}
