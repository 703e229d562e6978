/**
 * The SQL of the grouped message storage, on the cluster library's own tables: what the library writes with many statements,
 * for many messages at once. Rows come as one JSON text: to make a Postgres array of each column costs the runner's thread
 * more. Joins to the big tables are lateral, so that a plan made while they were small still goes by their indexes later.
 */
import { Schema } from "effect"
import * as Statement from "../../domain/Statement.ts"

const Ids = Schema.NullOr(Schema.Array(Schema.String))

/**
 * Stores requests, and replies with an exit. Answers which ids are new, or null when all of them are: what was there before
 * is left as it is. Rows are locked by ascending id, here as in the other statements of this file: two that lock the same
 * rows in different orders would end as a deadlock.
 */
export const flush = Statement.make<[requests: string, replies: string, requestCount: number, replyCount: number]>()({
  name: "storage.flush",
  text: `
with request as (
  insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers,
    trace_id, span_id, sampled, request_id, deliver_at)
  select id, message_id, shard_id, entity_type, entity_id, 0, tag, payload, headers,
    trace_id, span_id, sampled, id, deliver_at
  from json_to_recordset($1::json) as r(id bigint, message_id text, shard_id text, entity_type text, entity_id text, tag text,
    payload text, headers text, trace_id text, span_id text, sampled boolean, deliver_at bigint)
  on conflict do nothing
  returning id
), reply as (
  insert into cluster.cluster_replies (id, kind, request_id, payload)
  select id, 0, request_id, payload
  from json_to_recordset($2::json) as r(id bigint, request_id bigint, payload text)
  on conflict do nothing
  returning id, request_id
), answered as (
  update cluster.cluster_messages m set processed = true, last_reply_id = locked.reply_id
  from (
    select message.id, reply.id as reply_id
    from reply cross join lateral (
      select id from cluster.cluster_messages where request_id = reply.request_id order by id for update
    ) message
  ) locked
  where m.id = locked.id
)
select
  case when (select count(*) from request) = $3::bigint then null else array(select id::text from request) end as requests,
  case when (select count(*) from reply) = $4::bigint then null else array(select id::text from reply) end as replies`,
  row: Schema.Struct({ requests: Ids, replies: Ids }),
  probe: ["[]", "[]", 0, 0]
})

const StoredReply = {
  kind: Schema.NullOr(Schema.Int),
  payload: Schema.String,
  sequence: Schema.NullOr(Schema.Int)
}

/** What is there under the key of a request, or under its id when it has no key. */
export const known = Statement.make<[keys: ReadonlyArray<string>, ids: ReadonlyArray<string>]>()({
  name: "storage.known",
  text: `
select m.id, m.message_id as "messageId", m.entity_id as "entityId", m.tag, r.id as "replyId", r.kind, r.payload, r.sequence
from (select id, message_id, entity_id, tag, last_reply_id from cluster.cluster_messages where message_id = any($1::text[])
      union all
      select id, message_id, entity_id, tag, last_reply_id from cluster.cluster_messages
      where id = any($2::bigint[]) and message_id is null) m
left join cluster.cluster_replies r on r.id = m.last_reply_id`,
  row: Schema.Struct({
    id: Schema.String,
    messageId: Schema.NullOr(Schema.String),
    entityId: Schema.String,
    tag: Schema.NullOr(Schema.String),
    replyId: Schema.NullOr(Schema.String),
    kind: StoredReply.kind,
    payload: Schema.NullOr(Schema.String),
    sequence: StoredReply.sequence
  })
})

export const idsOfKeys = Statement.make<[keys: ReadonlyArray<string>]>()({
  name: "storage.ids_of_keys",
  text: `select id, message_id as key from cluster.cluster_messages where message_id = any($1::text[])`,
  row: Schema.Struct({ id: Schema.String, key: Schema.String })
})

const Reply = Schema.Struct({ id: Schema.String, requestId: Schema.String, ...StoredReply })

/** All replies to these requests, acknowledged chunks included, in the order in which they were stored. */
export const repliesOf = Statement.make<[requestIds: ReadonlyArray<string>]>()({
  name: "storage.replies_of",
  text: `
select id, request_id as "requestId", kind, payload, sequence
from cluster.cluster_replies where request_id = any($1::bigint[]) order by rowid`,
  row: Reply
})

/** The exit, and the chunks that nobody acknowledged. */
export const openRepliesOf = Statement.make<[requestIds: ReadonlyArray<string>]>()({
  name: "storage.open_replies_of",
  text: `
select id, request_id as "requestId", kind, payload, sequence
from cluster.cluster_replies where request_id = any($1::bigint[]) and (kind = 0 or not acked) order by rowid`,
  row: Reply
})

/** A chunk of a streamed reply. They come one after the other, each after the last one's acknowledgement: never grouped. */
export const saveChunk = Statement.make<[id: string, requestId: string, payload: string, sequence: number]>()({
  name: "storage.save_chunk",
  text: `
with chunk as (
  insert into cluster.cluster_replies (id, kind, request_id, payload, sequence) values ($1, null, $2, $3, $4)
  returning id, request_id
)
update cluster.cluster_messages m set last_reply_id = chunk.id from chunk where m.id = chunk.request_id`,
  row: Statement.NoRow,
  probe: ["1", "1", "[]", 0]
})

type Address = [id: string, shardId: string, entityType: string, entityId: string, requestId: string]

export const saveInterrupt = Statement.make<Address>()({
  name: "storage.save_interrupt",
  text: `
insert into cluster.cluster_messages (id, shard_id, entity_type, entity_id, kind, request_id)
values ($1, $2, $3, $4, 2, $5)`,
  row: Statement.NoRow,
  probe: ["1", "default:1", "Entity", "entity", "1"]
})

/** The acknowledgement of a chunk makes those before it done: only the last one is delivered. */
export const saveAcknowledgement = Statement.make<[...Address, replyId: string]>()({
  name: "storage.save_acknowledgement",
  text: `
with acked as (
  update cluster.cluster_replies set acked = true where id = $6
), done as (
  update cluster.cluster_messages set processed = true where not processed and request_id = $5 and kind = 1
)
insert into cluster.cluster_messages (id, shard_id, entity_type, entity_id, kind, request_id, reply_id)
values ($1, $2, $3, $4, 1, $5, $6)`,
  row: Statement.NoRow,
  probe: ["1", "default:1", "Entity", "entity", "1", "1"]
})

const Envelope = Schema.Struct({
  id: Schema.String,
  shardId: Schema.String,
  entityType: Schema.String,
  entityId: Schema.String,
  kind: Schema.Literal(0, 1, 2),
  tag: Schema.NullOr(Schema.String),
  payload: Schema.NullOr(Schema.String),
  headers: Schema.NullOr(Schema.String),
  traceId: Schema.NullOr(Schema.String),
  spanId: Schema.NullOr(Schema.String),
  sampled: Schema.NullOr(Schema.Boolean),
  requestId: Schema.String,
  replyId: Schema.NullOr(Schema.String),
  chunkId: Schema.NullOr(Schema.String),
  chunkPayload: Schema.NullOr(Schema.String),
  chunkSequence: Schema.NullOr(Schema.Int)
})
export type Envelope = typeof Envelope.Type

const columns = `m.id, m.shard_id as "shardId", m.entity_type as "entityType", m.entity_id as "entityId", m.kind, m.tag, m.payload,
  m.headers, m.trace_id as "traceId", m.span_id as "spanId", m.sampled, m.request_id as "requestId", m.reply_id as "replyId",
  r.id as "chunkId", r.payload as "chunkPayload", r.sequence as "chunkSequence"`

const open = `not m.processed and (m.deliver_at is null or m.deliver_at <= $2::bigint)
      and not exists (
        select from cluster.cluster_replies where request_id = m.request_id and (kind = 0 or not acked))`

/** The messages of these shards that nobody has begun, marked as read. Those marked are read again ten minutes later. */
export const unprocessed = Statement.make<[shards: ReadonlyArray<string>, now: number]>()({
  name: "storage.unprocessed",
  text: `
with read as (
  update cluster.cluster_messages m set last_read = now()
  from (
    select m.id from cluster.cluster_messages m
    where m.shard_id = any($1::text[]) and (m.last_read is null or m.last_read < now() - interval '10 minutes') and ${open}
    order by m.id for update
  ) found
  where m.id = found.id
  returning m.*
)
select ${columns} from read m left join cluster.cluster_replies r on r.id = m.last_reply_id order by m.rowid`,
  row: Envelope,
  probe: [["default:1"], 0]
})

export const unprocessedById = Statement.make<[ids: ReadonlyArray<string>, now: number]>()({
  name: "storage.unprocessed_by_id",
  text: `
select ${columns} from cluster.cluster_messages m left join cluster.cluster_replies r on r.id = m.last_reply_id
where m.id = any($1::bigint[]) and ${open} order by m.rowid`,
  row: Envelope
})

/** Clears the marks of messages that were read and not answered. */
export const resetShards = Statement.make<[shards: ReadonlyArray<string>]>()({
  name: "storage.reset_shards",
  text: `
update cluster.cluster_messages m set last_read = null
from (
  select id from cluster.cluster_messages
  where shard_id = any($1::text[]) and not processed and last_read is not null order by id for update
) found
where m.id = found.id`,
  row: Statement.NoRow,
  probe: [["default:1"]]
})

/**
 * Takes an answer back, so that its message is delivered again: a suspended execution is resumed by this. What has a result
 * keeps it. The library deletes whatever is there; so of two who wake an execution, the second one would delete what the
 * execution ended with meanwhile, and it would run once more.
 */
export const clear = Statement.make<[requestId: string]>()({
  name: "storage.clear",
  text: `
with cleared as (
  delete from cluster.cluster_replies
  where request_id = $1 and kind = 0 and payload not like '{"\\_tag":"Success","value":{"\\_tag":"Complete"%'
  returning request_id
), interrupts as (
  delete from cluster.cluster_messages m using cleared where m.request_id = cleared.request_id and m.kind = 2
)
update cluster.cluster_messages set processed = false, last_reply_id = null, last_read = null
where request_id = $1 and kind <> 2 and (not processed or exists (select from cleared))`,
  row: Statement.NoRow,
  probe: ["1"]
})

/**
 * Puts the end of an execution in the place of "suspended", which a runner that had lost the shard stored late: there is one
 * reply to a request. Any other reply stays. In one statement, so that the message is never without an answer and read again.
 */
export const complete = Statement.make<[id: string, requestId: string, payload: string]>()({
  name: "storage.complete",
  text: `
with late as (
  update cluster.cluster_replies set id = $1, payload = $3
  where request_id = $2 and kind = 0 and payload like '{"\\_tag":"Success","value":{"\\_tag":"Suspended"%'
  returning id, request_id
)
update cluster.cluster_messages m set processed = true, last_reply_id = late.id
from late where m.request_id = late.request_id
returning m.id`,
  row: Schema.Struct({ id: Schema.String }),
  probe: ["1", "1", "[]"]
})
