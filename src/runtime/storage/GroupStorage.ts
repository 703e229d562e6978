/**
 * The cluster's message storage with group commit, on the library's own tables: runners with this one and with the library's
 * can be in one ring, each reads what the other wrote.
 *
 * The library stores a request with one statement and a reply with a transaction of four, each of which costs the runner's one
 * thread more than the database. Here the requests and replies that come up while a statement is under way leave with the
 * next one (`Batcher`), and a caller goes on after its commit and not before.
 *
 * The rest of the contract is the library's: chunks of streamed replies are stored one by one, and what is rare is left to
 * the library's own storage.
 */
import { type Envelope, MessageStorage, type Reply, Snowflake, SqlMessageStorage } from "@effect/cluster"
import { PersistenceError } from "@effect/cluster/ClusterError"
import * as ShardId from "@effect/cluster/ShardId"
import type { ShardingConfig } from "@effect/cluster/ShardingConfig"
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { Effect, Exit, Layer, Option } from "effect"
import { isTransient } from "../../events/EventStore.ts"
import { Pool } from "../Database.ts"
import * as Batcher from "./Batcher.ts"
import { messageKey } from "./messageKey.ts"
import { bounds, CLOSE_WITHIN, refused, runner } from "./prepared.ts"
import * as statements from "./statements.ts"

type RequestEnvelope = Envelope.Request.Encoded
type ReplyEncoded = Reply.ReplyEncoded<never>

interface RequestRow {
  readonly id: string
  readonly message_id: string | null
  readonly shard_id: string
  readonly entity_type: string
  readonly entity_id: string
  readonly tag: string
  readonly payload: string
  readonly headers: string
  readonly trace_id: string | null
  readonly span_id: string | null
  readonly sampled: boolean | null
  readonly deliver_at: number | null
}
interface ReplyRow {
  readonly id: string
  readonly request_id: string
  readonly payload: string
}

type Row = { readonly kind: "request"; readonly row: RequestRow } | { readonly kind: "reply"; readonly row: ReplyRow }
type Answer = MessageStorage.SaveResult.Encoded

const requestRow = (envelope: RequestEnvelope, key: string | null, deliverAt: number | null): RequestRow => ({
  id: envelope.requestId,
  message_id: key,
  shard_id: ShardId.ShardId.toString(envelope.address.shardId),
  entity_type: envelope.address.entityType,
  entity_id: envelope.address.entityId,
  tag: envelope.tag,
  // One without payload has none to write, and a row that has no text for it could not be measured.
  payload: JSON.stringify(envelope.payload ?? null),
  headers: JSON.stringify(envelope.headers),
  trace_id: envelope.traceId ?? null,
  span_id: envelope.spanId ?? null,
  sampled: envelope.sampled ?? null,
  deliver_at: deliverAt
})

const replyFrom = (row: {
  readonly id: string
  readonly requestId: string
  readonly kind: number | null
  readonly payload: string
  readonly sequence: number | null
}): ReplyEncoded =>
  (row.kind === 0
    ? { _tag: "WithExit", id: row.id, requestId: row.requestId, exit: JSON.parse(row.payload) }
    : {
        _tag: "Chunk",
        id: row.id,
        requestId: row.requestId,
        sequence: row.sequence,
        values: JSON.parse(row.payload)
      }) as ReplyEncoded

const messageFrom = (row: statements.Envelope) => {
  const address = {
    shardId: ShardId.ShardId.fromStringEncoded(row.shardId),
    entityType: row.entityType,
    entityId: row.entityId
  }
  if (row.kind === 0) {
    return {
      envelope: {
        _tag: "Request",
        requestId: row.id,
        address,
        tag: row.tag,
        payload: JSON.parse(row.payload ?? "null"),
        headers: JSON.parse(row.headers ?? "{}"),
        traceId: row.traceId ?? undefined,
        spanId: row.spanId ?? undefined,
        sampled: row.sampled ?? false
      } as unknown as Envelope.Envelope.Encoded,
      lastSentReply:
        row.chunkId === null
          ? Option.none()
          : Option.some(
              replyFrom({
                id: row.chunkId,
                requestId: row.requestId,
                kind: null,
                payload: row.chunkPayload ?? "[]",
                sequence: row.chunkSequence
              })
            )
    }
  }
  const envelope =
    row.kind === 1
      ? { _tag: "AckChunk", id: row.id, requestId: row.requestId, replyId: row.replyId, address }
      : { _tag: "Interrupt", id: row.id, requestId: row.requestId, address }
  return { envelope: envelope as unknown as Envelope.Envelope.Encoded, lastSentReply: Option.none() }
}

const success: Exit.Exit<Answer> = Exit.succeed(MessageStorage.SaveResultEncoded.Success())

/** Ids are numbers without sign or leading zeros: the longer text is the greater number. */
const byRequest = ({ request_id: one }: ReplyRow, { request_id: other }: ReplyRow) =>
  one.length - other.length || (one < other ? -1 : 1)

const taken = (what: string) =>
  new SqlError({ cause: Object.assign(new Error(what), { code: "23505" }), message: what })

const make = Effect.gen(function* () {
  const run = runner(yield* Pool)
  const library = yield* SqlMessageStorage.make()

  /** What became of the rows of a flush that were not new. */
  const lookUp = (requests: ReadonlyArray<RequestRow>, replies: ReadonlyArray<ReplyRow>) =>
    Effect.gen(function* () {
      const answers = new Map<string, Exit.Exit<Answer, SqlError>>()
      if (requests.length > 0) {
        const keys = requests.flatMap(({ message_id }) => (message_id === null ? [] : [message_id]))
        const ids = requests.filter(({ message_id }) => message_id === null).map(({ id }) => id)
        const found = yield* run(statements.known, keys, ids)
        for (const request of requests) {
          const row = found.find(({ messageId, id }) =>
            request.message_id === null ? messageId === null && id === request.id : messageId === request.message_id
          )
          if (row === undefined) {
            // Its id is another's, or the one that was in its way is gone again.
            answers.set(request.id, Exit.fail(taken(`The message ${request.id} could not be stored: its id is taken`)))
          } else if (request.message_id === null) {
            // Ours, of a commit of which nobody heard.
            answers.set(
              request.id,
              row.entityId === request.entity_id && row.tag === request.tag
                ? success
                : Exit.fail(taken(`The id of message ${request.id} is another message's`))
            )
          } else {
            answers.set(
              request.id,
              Exit.succeed(
                MessageStorage.SaveResultEncoded.Duplicate({
                  originalId: Snowflake.Snowflake(row.id),
                  lastReceivedReply:
                    row.replyId === null || row.payload === null
                      ? Option.none()
                      : Option.some(
                          replyFrom({
                            id: row.replyId,
                            requestId: row.id,
                            kind: row.kind,
                            payload: row.payload,
                            sequence: row.sequence
                          })
                        )
                })
              )
            )
          }
        }
      }
      if (replies.length > 0) {
        const found = yield* run(
          statements.repliesOf,
          replies.map(({ request_id }) => request_id)
        )
        for (const reply of replies) {
          const own = found.some(({ id, requestId }) => id === reply.id && requestId === reply.request_id)
          answers.set(
            reply.id,
            own ? success : Exit.fail(taken(`The message ${reply.request_id} was answered already`))
          )
        }
      }
      return answers
    })

  const writes = Batcher.make<Row, Answer, SqlError>({
    ...bounds,
    bytes: ({ row }) => row.payload.length,
    // The first of two answers counts; and one of two requests with one key is the other's duplicate.
    exclusive: (row) => (row.kind === "reply" ? row.row.request_id : (row.row.message_id ?? undefined)),
    isRowsFault: (error) => !isTransient(error),
    refused,
    trip: (rows) =>
      Effect.gen(function* () {
        const requests: Array<RequestRow> = []
        const replies: Array<ReplyRow> = []
        for (const row of rows) {
          if (row.kind === "request") requests.push(row.row)
          else replies.push(row.row)
        }
        // In one order everywhere, so that two processes that store the same keys at once can't block each other.
        requests.sort((one, other) => ((one.message_id ?? "") < (other.message_id ?? "") ? -1 : 1))
        replies.sort(byRequest)
        const [flushed] = yield* run(
          statements.flush,
          JSON.stringify(requests),
          JSON.stringify(replies),
          requests.length,
          replies.length
        )
        const isOld = (fresh: ReadonlyArray<string> | null | undefined) => {
          if (fresh === null || fresh === undefined) return () => false
          const ids = new Set(fresh)
          return ({ id }: { readonly id: string }) => !ids.has(id)
        }
        const oldRequests = requests.filter(isOld(flushed?.requests))
        const oldReplies = replies.filter(isOld(flushed?.replies))
        if (oldRequests.length === 0 && oldReplies.length === 0) return rows.map(() => success)
        const answers = yield* lookUp(oldRequests, oldReplies)
        return rows.map(({ row }) => answers.get(row.id) ?? success)
      })
  })

  /** Reads of many fibers in one statement. `key` is what is asked for, `rows` come in the statement's order. */
  const grouped = <A>(read: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, A>, SqlError>) =>
    Batcher.make<string, A | undefined, SqlError>({
      ...bounds,
      bytes: (key) => key.length,
      exclusive: () => undefined,
      isRowsFault: () => false,
      refused,
      trip: (keys) => Effect.map(read(keys), (found) => keys.map((key) => Exit.succeed(found.get(key))))
    })

  const ids = grouped((keys) =>
    Effect.map(run(statements.idsOfKeys, keys), (rows) => new Map(rows.map(({ key, id }) => [key, id])))
  )
  const replies = grouped((requests) =>
    Effect.map(run(statements.repliesOf, requests), (rows) => Map.groupBy(rows, ({ requestId }) => requestId))
  )

  yield* Effect.addFinalizer(() =>
    Effect.all([writes.close, ids.close, replies.close], { concurrency: "unbounded", discard: true }).pipe(
      Effect.interruptible,
      Effect.timeoutOption(CLOSE_WITHIN)
    )
  )

  const refail = PersistenceError.refail
  return yield* MessageStorage.makeEncoded({
    saveEnvelope: ({ envelope, primaryKey, deliverAt }) => {
      if (envelope._tag === "Request") {
        const stored = (key: string | null) =>
          writes.submit({ kind: "request", row: requestRow(envelope, key, deliverAt) })
        return refail(primaryKey === null ? stored(null) : Effect.flatMap(messageKey(primaryKey), stored))
      }
      const { entityType, entityId, shardId } = envelope.address
      const address = [
        envelope.id,
        ShardId.ShardId.toString(shardId),
        entityType,
        entityId,
        envelope.requestId
      ] as const
      return (
        envelope._tag === "Interrupt"
          ? run(statements.saveInterrupt, ...address)
          : run(statements.saveAcknowledgement, ...address, envelope.replyId)
      ).pipe(Effect.as(MessageStorage.SaveResultEncoded.Success()), refail)
    },
    saveReply: (reply) =>
      reply._tag === "WithExit"
        ? writes
            .submit({
              kind: "reply",
              row: { id: reply.id, request_id: reply.requestId, payload: JSON.stringify(reply.exit) }
            })
            .pipe(Effect.asVoid, refail)
        : run(statements.saveChunk, reply.id, reply.requestId, JSON.stringify(reply.values), reply.sequence).pipe(
            Effect.asVoid,
            refail
          ),
    requestIdForPrimaryKey: (primaryKey) =>
      Effect.flatMap(messageKey(primaryKey), ids.submit).pipe(
        Effect.map((id) => Option.map(Option.fromNullable(id), Snowflake.Snowflake)),
        refail
      ),
    repliesFor: (requestIds) =>
      run(statements.openRepliesOf, requestIds).pipe(
        Effect.map((rows) => rows.map(replyFrom)),
        refail
      ),
    repliesForUnfiltered: (requestIds) =>
      (requestIds.length === 1
        ? Effect.map(replies.submit(requestIds[0]), (rows) => rows ?? [])
        : run(statements.repliesOf, requestIds)
      ).pipe(
        Effect.map((rows) => rows.map(replyFrom)),
        refail
      ),
    unprocessedMessages: (shards, now) =>
      run(statements.unprocessed, shards, now).pipe(
        Effect.map((rows) => rows.map(messageFrom)),
        refail
      ),
    unprocessedMessagesById: (messageIds, now) =>
      run(statements.unprocessedById, messageIds.map(String), now).pipe(
        Effect.map((rows) => rows.map(messageFrom)),
        refail
      ),
    resetShards: (shards) => run(statements.resetShards, shards).pipe(Effect.asVoid, refail),
    clearReplies: library.clearReplies,
    resetAddress: library.resetAddress,
    clearAddress: library.clearAddress
  })
})

export const layer: Layer.Layer<MessageStorage.MessageStorage, never, SqlClient | ShardingConfig | Pool> = Layer.scoped(
  MessageStorage.MessageStorage,
  make
).pipe(Layer.provide(Snowflake.layerGenerator))
