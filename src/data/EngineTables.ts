/**
 * The workflow engine's own tables: what is finished leaves them after a while, and what was poisoned is found.
 *
 * The library never deletes a row. Its rows are also what makes a start that is sent again find the first one, so they stay
 * for a window, by the tenant's tier. Thereafter `agents.runs` keeps that promise for runs: `Ask` answers a run that has
 * ended with its end and starts nothing. An execution that belongs to no run begins anew when it is asked for after the
 * longest window of all tiers.
 *
 * One shard at a time: the library's index on (shard_id, processed) is the only one that leads to the rows of an execution,
 * all of which lie on one shard.
 */
import { Snowflake } from "@effect/cluster"
import type { SqlClient, SqlError } from "@effect/sql"
import { Effect, Schema } from "effect"
import * as Statement from "../domain/Statement.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>

/**
 * Executions that one statement removes: some thousand rows. Of 100,000 with 200,000 messages and 500,000 steps, 90,000 were due and
 * went in 92 s on two busy cores, a thousand a second: 80 ms a statement, 260 ms at p99.
 */
export const BATCH = 100

/** Every shard with rows, by hops along the index: a `distinct` would read all of it. */
const shardsWithRows = Statement.make<[]>()({
  name: "engine.shards",
  text: `
with recursive found as (
  (select shard_id from cluster.cluster_messages order by shard_id limit 1)
  union all
  select (select m.shard_id from cluster.cluster_messages m where m.shard_id > found.shard_id order by m.shard_id limit 1)
  from found where found.shard_id is not null
)
select shard_id as "shardId" from found where shard_id is not null`,
  row: Schema.Struct({ shardId: Schema.String })
})

export const shards: Sql<ReadonlyArray<string>> = Effect.map(shardsWithRows.run(), (rows) =>
  rows.map(({ shardId }) => shardId)
)

/**
 * Removes executions that are over, with all of their messages and replies, and their steps in the journal.
 *
 * Over is: the last reply to `run` is a result (a suspended or dead one is none), it is older than the window, no message of
 * the execution waits for anything (a clock that has not rung counts), the run it belongs to has ended as long ago, and the
 * execution that started it as a child has its own result: an open parent asks for its children again when it is replayed.
 *
 * The age is in the ids: a snowflake holds the milliseconds since 2025 above its lowest 22 bits.
 */
const removeFinished = Statement.make<[shardId: string, limit: number]>()({
  name: "engine.remove_finished",
  text: `
with longest as (
  select max(engine_hours) as hours from agents.retention_tiers
), finished as (
  select m.entity_type, m.entity_id
  from cluster.cluster_messages m
  join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
  left join agents.runs u on u.execution_id = m.entity_id
  left join agents.tenant_tiers t on t.tenant_id = u.tenant_id
  left join agents.retention_tiers w on w.tier = coalesce(t.tier, 'standard')
  cross join longest
  cross join lateral (
    select now() - interval '1 hour' * case when u.execution_id is null then longest.hours else w.engine_hours end as at
  ) cut
  where m.shard_id = $1 and m.processed and m.kind = 0 and m.tag = 'run'
    and m.entity_type like 'Workflow/%' and m.entity_type <> 'Workflow/-/DurableClock'
    and r.payload like '{"\\_tag":"Success","value":{"\\_tag":"Complete"%'
    and to_timestamp(((r.id >> 22) + ${Snowflake.constEpochMillis}) / 1000.0) < cut.at
    and (u.execution_id is null or u.finished_at < cut.at)
    and not exists (
      select from cluster.cluster_messages p
      where p.shard_id = $1 and not p.processed and p.entity_id = m.entity_id
    )
    and not exists (
      select from cluster.cluster_messages p
      left join cluster.cluster_replies pr on pr.request_id = p.id and pr.kind = 0
      where m.payload like '%"~@effect/workflow/parent":%'
        and p.message_id = (
          select 'Workflow/' || (parent->>'workflowName') || '/' || (parent->>'executionId') || '/run/'
          from (
            select case when m.payload is json then m.payload::jsonb -> '~@effect/workflow/parent' end as parent
          ) as given
        )
        and (pr.payload is null or pr.payload not like '{"\\_tag":"Success","value":{"\\_tag":"Complete"%')
    )
  order by m.id limit $2
  for update of m skip locked
), parts as (
  select p.id from finished f
  join cluster.cluster_messages p on p.shard_id = $1 and p.processed and p.entity_id = f.entity_id
    and p.entity_type in (f.entity_type, 'Workflow/-/DurableClock')
), replies as (
  delete from cluster.cluster_replies r using parts where r.request_id = parts.id
), messages as (
  delete from cluster.cluster_messages m using parts where m.id = parts.id returning m.id
), steps as (
  delete from agents.steps s using finished f where s.execution_id = f.entity_id
)
select (select count(*) from finished)::int as executions, (select count(*) from messages)::int as messages`,
  row: Schema.Struct({ executions: Schema.Int, messages: Schema.Int }),
  probe: ["probe:1", 1]
})

/**
 * Answered messages of executions that are gone: an approval that came too late, a clock that rang after the end. They hold
 * nothing that anybody asks for. The longest window keeps what a start on its way might still need.
 */
const removeOrphans = Statement.make<[shardId: string]>()({
  name: "engine.remove_orphans",
  text: `
with orphans as (
  select m.id from cluster.cluster_messages m
  where m.shard_id = $1 and m.processed and m.entity_type like 'Workflow/%'
    and (m.tag <> 'run' or m.entity_type = 'Workflow/-/DurableClock')
    and to_timestamp(((m.id >> 22) + ${Snowflake.constEpochMillis}) / 1000.0)
      < now() - interval '1 hour' * (select max(engine_hours) from agents.retention_tiers)
    and not exists (
      select from cluster.cluster_messages r
      where r.shard_id = $1 and r.entity_id = m.entity_id
        and ((r.tag = 'run' and r.entity_type <> 'Workflow/-/DurableClock') or not r.processed)
    )
), replies as (
  delete from cluster.cluster_replies r using orphans where r.request_id = orphans.id
), messages as (
  delete from cluster.cluster_messages m using orphans where m.id = orphans.id returning m.id
)
select count(*)::int as messages from messages`,
  row: Schema.Struct({ messages: Schema.Int }),
  probe: ["probe:1"]
})

export interface Removed {
  readonly executions: number
  readonly messages: number
}

/** Removes at most `limit` finished executions of a shard, and what is left of ones that are gone. */
export const removeFrom = (shardId: string, limit = BATCH): Sql<Removed> =>
  Effect.gen(function* () {
    const [removed] = yield* removeFinished.run(shardId, limit)
    const [orphans] = yield* removeOrphans.run(shardId)
    return {
      executions: removed?.executions ?? 0,
      messages: (removed?.messages ?? 0) + (orphans?.messages ?? 0)
    }
  })

export const Poisoned = Schema.Struct({
  workflow: Schema.String,
  executionId: Schema.String,
  shardId: Schema.String,
  messageId: Schema.String,
  /** What was asked: run, activity, deferred or resume. */
  tag: Schema.String,
  /** The engine's words, in one line; or that the reply is no JSON. */
  defect: Schema.String,
  tenantId: Schema.NullOr(Schema.String),
  runId: Schema.NullOr(Schema.String)
})
export type Poisoned = typeof Poisoned.Type

/**
 * Messages of open executions that were answered for good with something that is no answer. What a workflow or an activity
 * fails with is a success for the engine (`Complete` with that failure), so a failure here is the engine's own: an entity type
 * that nobody had registered, a payload that did not decode, an interruption that was recorded.
 */
const findPoisoned = Statement.make<[shardId: string]>()({
  name: "engine.poisoned",
  text: `
select substr(m.entity_type, 10) as workflow, m.entity_id as "executionId", m.shard_id as "shardId",
  m.id::text as "messageId", m.tag,
  left(split_part(coalesce(
    case when r.payload is json then coalesce(
      r.payload::jsonb #>> '{cause,defect,message}', r.payload::jsonb #>> '{cause,defect}', r.payload::jsonb #>> '{cause,_tag}'
    ) end, 'the recorded reply is no JSON'), E'\\n', 1), 300) as defect,
  u.tenant_id as "tenantId", u.run_id as "runId"
from cluster.cluster_messages m
join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
left join agents.runs u on u.execution_id = m.entity_id
where m.shard_id = $1 and m.processed and m.kind = 0 and m.entity_type like 'Workflow/%'
  and m.entity_type <> 'Workflow/-/DurableClock'
  and (r.payload like '{"\\_tag":"Failure"%' or r.payload is not json)
  and not exists (
    select from cluster.cluster_messages o
    join cluster.cluster_replies ended on ended.request_id = o.id and ended.kind = 0
    where o.shard_id = $1 and o.processed and o.entity_type = m.entity_type and o.entity_id = m.entity_id
      and o.tag = 'run' and ended.payload like '{"\\_tag":"Success","value":{"\\_tag":"Complete"%'
  )
order by m.id`,
  row: Poisoned
})

export const poisonedOn = (shardId: string): Sql<ReadonlyArray<Poisoned>> => findPoisoned.run(shardId)

/** All of them: reads every reply once, one shard after the other. */
export const poisoned: Sql<ReadonlyArray<Poisoned>> = Effect.flatMap(shards, (all) =>
  Effect.map(Effect.forEach(all, poisonedOn), (found) => found.flat())
)
