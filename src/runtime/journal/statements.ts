/** The SQL of the journal of steps. Steps of many executions come as one JSON text, as in the grouped message storage. */
import { Schema } from "effect"
import * as Statement from "../../domain/Statement.ts"

/**
 * All that these executions recorded; and of these keys of messages, those of which the library's engine has a message: a row
 * without a name for each.
 */
export const load = Statement.make<[executionIds: ReadonlyArray<string>, messageKeys: ReadonlyArray<string>]>()({
  name: "journal.load",
  text: `
select execution_id as "executionId", name, attempt::int as attempt, exit, null as "messageKey"
from agents.steps where execution_id = any($1::text[])
union all
select null, null, null, null, message_id from cluster.cluster_messages where message_id = any($2::text[])`,
  row: Schema.Struct({
    executionId: Schema.NullOr(Schema.String),
    name: Schema.NullOr(Schema.String),
    attempt: Schema.NullOr(Schema.Int),
    exit: Schema.NullOr(Schema.String),
    messageKey: Schema.NullOr(Schema.String)
  })
})

/**
 * Records what steps ended with. `written` are those that are new, by their place in `$1`, or null when all of them are. One
 * that is not new was recorded by another run of it, or is `fenced`: its runner lost the shard. A shard that is taken while
 * this runs is as good as one that is taken thereafter: whoever took it finds the row when it records its own.
 *
 * Rows go in by ascending key, so that two statements with the same keys can't block each other.
 */
export const record = Statement.make<[steps: string, count: number]>()({
  name: "journal.record",
  text: `
with given as (
  select * from json_to_recordset($1::json) as g(place int, execution_id text, name text, attempt bigint, exit text, release text,
    fingerprint text, started_at timestamptz, finished_at timestamptz, shard_id text, epoch bigint)
), held as (
  select g.* from given g join agents.shard_epochs e on e.shard_id = g.shard_id and e.epoch = g.epoch
), written as (
  insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
  select execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at
  from held order by execution_id, name, attempt
  on conflict do nothing
  returning execution_id, name, attempt
)
select
  case when (select count(*) from written) = $2::bigint then null
    else array(select place from held join written using (execution_id, name, attempt)) end as written,
  case when (select count(*) from held) = $2::bigint then '{}'
    else array(select place from given where place not in (select place from held)) end as fenced`,
  row: Schema.Struct({ written: Schema.NullOr(Schema.Array(Schema.Int)), fenced: Schema.Array(Schema.Int) }),
  probe: ["[]", 0]
})

/** A runner takes these shards, each with the next number. */
export const take = Statement.make<[shardIds: ReadonlyArray<string>, runner: string]>()({
  name: "journal.take_shards",
  text: `
insert into agents.shard_epochs as e (shard_id, epoch, runner)
select shard_id, 1, $2 from unnest($1::text[]) as t(shard_id) order by shard_id
on conflict (shard_id) do update set epoch = e.epoch + 1, runner = excluded.runner, taken_at = now()
returning shard_id as "shardId", epoch::text as epoch`,
  row: Schema.Struct({ shardId: Schema.String, epoch: Schema.String }),
  probe: [["probe:1"], "probe"]
})

/** Those of these shards whose number is not the one that goes with them. */
export const overtaken = Statement.make<[shardIds: ReadonlyArray<string>, epochs: ReadonlyArray<string>]>()({
  name: "journal.overtaken_shards",
  text: `
select shard_id as "shardId" from unnest($1::text[], $2::bigint[]) as held (shard_id, known)
join agents.shard_epochs e using (shard_id) where e.epoch <> held.known`,
  row: Schema.Struct({ shardId: Schema.String })
})

/**
 * Whether every release that may take an execution over has the statement `$2`. Records say who may run, runners who does: one that still drains is of a release that is retired already, and one that
 * nobody recorded, or whose record says no statements, may be any. This release's own runners read the journal.
 */
export const allRead = Statement.make<[release: string, reads: string]>()({
  name: "journal.all_read",
  text: `
with live as (
  select distinct release from agents.runners where seen_at > now() - interval '30 seconds' and release <> $1
)
select not exists (
  select from agents.releases d
  where (d.state <> 'retired' or d.release = any (array(select release from live)))
    and not coalesce(d.surface->'statements' @> jsonb_build_array(jsonb_build_object('name', $2::text)), false)
) and not exists (
  select from live where not exists (select from agents.releases d where d.release = live.release)
) as "allRead"`,
  row: Schema.Struct({ allRead: Schema.Boolean })
})
