/** What the console asks the database of each target: which releases run, who owns shards, what is open. */
import { Effect } from "effect"
import type { Host } from "../host/HostClient.ts"
import type { RuntimeView } from "./State.ts"

/** The host's queries have one parameter; these have no use for it. */
const there =
  "select to_regclass('agents.runners') is not null as runners, to_regclass('cluster.cluster_messages') is not null as messages, $1::text as unused"

const runners = `select runner as name, release from agents.runners
  where seen_at > now() - interval '15 seconds' and $1 = '%' order by 1`

// A runner's shards are advisory locks of its session, which bears the runner's name (RunnerWatch).
const shards = `select a.application_name as owner, count(*)::int as shards
  from pg_locks l join pg_stat_activity a using (pid)
  where l.locktype = 'advisory' and l.granted and a.datname = current_database() and a.application_name <> 'rehearsal-server'
    and $1 = '%' group by 1 order by 1`

const open = `select workflow, release, count(*)::int as open from agents.runs
  where finished_at is null and $1 = '%' group by 1, 2 order by 1, 2`

const none = { runners: [], shards: [], open: [] }

const ofTarget = (host: Host, target: string): Effect.Effect<RuntimeView> => {
  const ask = <A>(text: string) =>
    Effect.map(host.call("query", { target, text }), ({ rows }) => rows as ReadonlyArray<A>)
  return Effect.gen(function* () {
    const [made] = yield* ask<{ runners: boolean; messages: boolean }>(there)
    // Before its first migration a target has no tables, and other pipelines never get them.
    if (made?.runners !== true) return { target, ...none }
    return {
      target,
      runners: yield* ask<RuntimeView["runners"][number]>(runners),
      shards: yield* ask<RuntimeView["shards"][number]>(shards),
      open: yield* ask<RuntimeView["open"][number]>(open)
    }
  }).pipe(Effect.orElseSucceed(() => ({ target, ...none })))
}

export const take = (host: Host, targets: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<RuntimeView>> =>
  Effect.forEach(targets, (target) => ofTarget(host, target), { concurrency: 4 })
