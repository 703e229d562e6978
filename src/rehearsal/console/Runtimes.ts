/** What the console asks the database of each target: which releases run, who owns shards, what is open. */
import { Effect } from "effect"
import type { Host } from "../host/HostClient.ts"
import type { RuntimeView } from "./State.ts"

/** The host's queries have one parameter; these have no use for it. */
const there =
  "select to_regclass('agents.runners') is not null as runners, to_regclass('cluster.cluster_messages') is not null as messages, $1::text as unused"

const runners = `select runner as name, release from agents.runners
  where seen_at > now() - interval '15 seconds' and $1 = '%' order by 1`

// The groups of the newest release that may run here, in the order that numbers their shards.
const groups = `select jsonb_array_elements_text(surface #> '{sharding,groups}') as "group" from (
    select surface from agents.releases where state <> 'retired' and $1 = '%' order by recorded_at desc limit 1) newest`

// A runner's shards are advisory locks of its session, which bears the runner's name (RunnerWatch). The library numbers them by
// group: a million and the shard for the first group, two millions and the shard for the second.
const shards = `select a.application_name as owner, (l.objid::bigint / 1000000)::int as number, count(*)::int as shards
  from pg_locks l join pg_stat_activity a using (pid)
  where l.locktype = 'advisory' and l.granted and l.objid::bigint >= 1000000 and a.datname = current_database()
    and a.application_name <> 'rehearsal-server' and $1 = '%' group by 1, 2 order by 2, 1`

const open = `select workflow, release, count(*)::int as open from agents.runs
  where finished_at is null and $1 = '%' group by 1, 2 order by 1, 2`

const none = { runners: [], groups: [], shards: [], open: [], problem: null }

const ofTarget = (host: Host, target: string): Effect.Effect<RuntimeView> => {
  const ask = <A>(text: string) =>
    Effect.map(host.call("query", { target, text }), ({ rows }) => rows as ReadonlyArray<A>)
  return Effect.gen(function* () {
    const [made] = yield* ask<{ runners: boolean; messages: boolean }>(there)
    // Before its first migration a target has no tables, and other pipelines never get them.
    if (made?.runners !== true) return { target, ...none }
    const names = (yield* ask<{ group: string }>(groups)).map(({ group }) => group)
    return {
      target,
      runners: yield* ask<RuntimeView["runners"][number]>(runners),
      groups: names,
      shards: (yield* ask<{ owner: string; number: number; shards: number }>(shards)).map(
        ({ owner, number, shards: owned }) => ({
          owner,
          group: names[number - 1] ?? (number === 1 ? "default" : `group ${number}`),
          shards: owned
        })
      ),
      open: yield* ask<RuntimeView["open"][number]>(open),
      problem: null
    }
  }).pipe(Effect.catchAll(({ message }) => Effect.succeed({ target, ...none, problem: message })))
}

export const take = (host: Host, targets: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<RuntimeView>> =>
  Effect.forEach(targets, (target) => ofTarget(host, target), { concurrency: 4 })
