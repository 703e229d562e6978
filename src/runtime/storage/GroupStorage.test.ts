/** The grouped storage beside the library's own, on one database: what one writes the other reads. */
import {
  EntityAddress,
  EntityId,
  EntityType,
  Envelope,
  Message,
  MessageStorage,
  Reply,
  ShardId,
  ShardingConfig,
  Snowflake,
  SqlMessageStorage
} from "@effect/cluster"
import { Headers } from "@effect/platform"
import { Rpc } from "@effect/rpc"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Schema } from "effect"
import { vi } from "vitest"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import * as Database from "../Database.ts"
import { databaseFromUrl } from "../Settings.ts"
import * as GroupStorage from "./GroupStorage.ts"

vi.setConfig({ testTimeout: 60_000 })

const Keyed = Rpc.make("keyed", {
  payload: { key: Schema.String },
  success: Schema.String,
  primaryKey: ({ key }) => key
})
const Plain = Rpc.make("plain", { payload: { key: Schema.String }, success: Schema.String })

const shard = ShardId.make("default", 7)

const stage = Effect.gen(function* () {
  const database = yield* migratedDatabase
  let queries = 0
  const counted = Layer.tap(
    Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 4 }),
    (context) =>
      Effect.sync(() => {
        const pool = Context.get(context, Database.Pool)
        const query = pool.query.bind(pool) as (...args: ReadonlyArray<unknown>) => unknown
        pool.query = ((...args: ReadonlyArray<unknown>) => {
          queries++
          return query(...args)
        }) as never
      })
  )
  const context = yield* Layer.build(
    Layer.provideMerge(Snowflake.layerGenerator, Layer.merge(counted, ShardingConfig.layer())).pipe(Layer.orDie)
  )
  const built = (layer: typeof GroupStorage.layer) =>
    Effect.map(Layer.build(Layer.fresh(layer)), (services) =>
      Context.get(services, MessageStorage.MessageStorage)
    ).pipe(Effect.provide(context))
  const group = yield* built(GroupStorage.layer)
  const stock = yield* built(SqlMessageStorage.layer)
  const ids = Context.get(context, Snowflake.Generator)

  const request = (rpc: typeof Keyed | typeof Plain, key: string, entity = "entity") =>
    new Message.OutgoingRequest<Rpc.Any>({
      envelope: Envelope.makeRequest<Rpc.Any>({
        requestId: ids.unsafeNext(),
        address: new EntityAddress.EntityAddress({
          entityType: EntityType.EntityType.make("Entity"),
          entityId: EntityId.EntityId.make(entity),
          shardId: shard
        }),
        tag: rpc._tag as never,
        payload: (rpc === Keyed ? Keyed.payloadSchema.make({ key }) : { key }) as never,
        headers: Headers.fromInput({ a: "b" })
      }),
      context: Context.empty() as never,
      lastReceivedReply: Option.none(),
      rpc: rpc as never,
      respond: () => Effect.void
    })
  const answer = (to: Message.OutgoingRequest<Rpc.Any>, text: string) =>
    new Reply.ReplyWithContext<typeof Plain>({
      reply: new Reply.WithExit({
        id: ids.unsafeNext(),
        requestId: to.envelope.requestId,
        exit: Exit.succeed(text)
      }),
      context: Context.empty() as never,
      rpc: Plain
    })
  const counting = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      const before = queries
      return Effect.map(effect, (value) => [value, queries - before] as const)
    })
  return { database, group, stock, request, answer, counting }
})

it.scopedLive("reads what the library wrote, and writes what the library reads", () =>
  Effect.gen(function* () {
    const { group, stock, request, answer, database } = yield* stage
    for (const [writer, reader] of [
      [group, stock],
      [stock, group]
    ] as const) {
      yield* database.query("truncate cluster.cluster_messages, cluster.cluster_replies")
      const sent = [
        request(Keyed, 'with "quotes" and \\u0000'),
        request(Plain, "a \u0000 and half a \ud83d"),
        request(Keyed, "x".repeat(300))
      ]
      yield* Effect.forEach(sent, (message) => writer.saveRequest(message))
      const read = yield* reader.unprocessedMessages([shard])
      const seen = ({ envelope }: { readonly envelope: unknown }) => {
        const { requestId, tag, payload, headers, address } = envelope as Envelope.Request<Rpc.Any>
        const { key } = payload as unknown as { readonly key: string }
        return { requestId, tag, key, headers: { ...headers }, address }
      }
      expect(read.map(seen)).toEqual(sent.map(seen))
      // They are marked: nobody reads them again until the marks are cleared.
      expect(yield* writer.unprocessedMessages([shard])).toEqual([])
      yield* reader.resetShards([shard])
      expect((yield* writer.unprocessedMessages([shard])).length).toBe(3)

      yield* reader.saveReply(answer(sent[0]!, "done"))
      const again = request(Keyed, 'with "quotes" and \\u0000')
      const duplicate = yield* writer.saveRequest(again)
      expect(duplicate).toMatchObject({
        _tag: "Duplicate",
        originalId: sent[0]!.envelope.requestId,
        lastReceivedReply: { _tag: "Some", value: { _tag: "WithExit", exit: { _tag: "Success", value: "done" } } }
      })
      expect(yield* reader.saveRequest(request(Keyed, "x".repeat(300)))).toMatchObject({
        _tag: "Duplicate",
        originalId: sent[2]!.envelope.requestId,
        lastReceivedReply: { _tag: "None" }
      })
      const id = { address: sent[0]!.envelope.address, tag: "keyed", id: 'with "quotes" and \\u0000' }
      expect(yield* writer.requestIdForPrimaryKey(id)).toEqual(Option.some(sent[0]!.envelope.requestId))
      expect(yield* reader.requestIdForPrimaryKey({ ...id, id: "nobody's" })).toEqual(Option.none())
      const unfiltered = yield* writer.repliesForUnfiltered([sent[0]!.envelope.requestId])
      expect(unfiltered).toEqual(yield* reader.repliesForUnfiltered([sent[0]!.envelope.requestId]))
      expect(unfiltered.length).toBe(1)
      expect(yield* writer.repliesFor(sent)).toEqual(yield* reader.repliesFor(sent))
      const byId = yield* writer.unprocessedMessagesById(sent.map(({ envelope }) => envelope.requestId))
      expect(byId.length).toBe(2)

      // The first answer counts.
      expect((yield* Effect.exit(writer.saveReply(answer(sent[0]!, "late"))))._tag).toBe("Failure")
      expect(yield* writer.repliesForUnfiltered([sent[0]!.envelope.requestId])).toEqual(unfiltered)
      yield* writer.clearReplies(sent[0]!.envelope.requestId)
      expect((yield* reader.unprocessedMessages([shard])).length).toBe(1)
    }
  })
)

it.scopedLive("stores what many fibers send with few statements, and lets each go on after its commit", () =>
  Effect.gen(function* () {
    const { group, request, answer, counting, database } = yield* stage
    const sent = Array.from({ length: 200 }, (_, index) => request(Keyed, `key ${index}`))
    const there = (table: string, column: string, id: unknown) =>
      Effect.map(
        database.query<{ there: boolean }>(
          `select exists (select from cluster.${table} where ${column} = ${String(id)}) as there`
        ),
        ([row]) => row?.there
      )
    const [, first] = yield* counting(
      Effect.forEach(sent, (message) => group.saveRequest(message), { concurrency: "unbounded" })
    )
    expect(first).toBeLessThanOrEqual(3)
    // Seen from another connection at the moment at which the caller goes on.
    const seen = yield* Effect.forEach(
      sent,
      (message) =>
        Effect.zipRight(
          group.saveReply(answer(message, "done")),
          Effect.all([
            there("cluster_replies", "request_id", message.envelope.requestId),
            there("cluster_messages", "processed and id", message.envelope.requestId)
          ])
        ),
      { concurrency: "unbounded" }
    )
    expect(seen.filter(([reply, processed]) => reply !== true || processed !== true)).toEqual([])
  })
)

it.scopedLive("fails the one row that Postgres refuses, and stores the others", () =>
  Effect.gen(function* () {
    const { group, request, database } = yield* stage
    const exits = yield* Effect.forEach(
      [request(Keyed, "a"), request(Keyed, "b", "x".repeat(300)), request(Plain, "c"), request(Keyed, "d")],
      (message) => Effect.exit(group.saveRequest(message)),
      { concurrency: "unbounded" }
    )
    expect(exits.map(({ _tag }) => _tag)).toEqual(["Success", "Failure", "Success", "Success"])
    const [row] = yield* database.query<{ count: number }>("select count(*)::int from cluster.cluster_messages")
    expect(row?.count).toBe(3)
  })
)

it.scopedLive("makes one message of many with the same key, whoever stores them", () =>
  Effect.gen(function* () {
    const { group, stock, request, database } = yield* stage
    const results = yield* Effect.forEach(
      Array.from({ length: 60 }, (_, index) => index),
      (index) => (index % 3 === 0 ? stock : group).saveRequest(request(Keyed, `key ${index % 2}`)),
      { concurrency: "unbounded" }
    )
    expect(results.filter(({ _tag }) => _tag === "Success").length).toBe(2)
    const [row] = yield* database.query<{ count: number }>("select count(*)::int from cluster.cluster_messages")
    expect(row?.count).toBe(2)
  })
)
