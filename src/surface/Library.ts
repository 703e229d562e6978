/**
 * The SQL that the cluster library itself sends, as part of our surface.
 *
 * A migration can break the engine's tables as well as ours, and its SQL changes with its version. So we don't copy it: the
 * library's own storages run over a connection that only writes down what it is given. No database is needed, and a new
 * version of the library shows in `surface.json`.
 */
import {
  EntityAddress,
  EntityId,
  EntityType,
  Envelope,
  Message,
  Reply,
  Runner,
  RunnerAddress,
  ShardId,
  ShardingConfig,
  Snowflake,
  SqlMessageStorage,
  SqlRunnerStorage
} from "@effect/cluster"
import * as Reactivity from "@effect/experimental/Reactivity"
import { Headers } from "@effect/platform"
import { Rpc } from "@effect/rpc"
import { SqlClient, type SqlConnection } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Clock, Context, Effect, Exit, Layer, Option, Schema, Stream } from "effect"

export interface LibraryStatement {
  /** `cluster.<operation>`, with a number from the second statement of an operation on. */
  readonly name: string
  readonly text: string
}

/** Only these can be prepared. The rest is DDL, which runs in the migration step and not in a release. */
const preparable = /^\s*(select|insert|update|delete|with|merge)\b/i

/**
 * Looks for the shards table of a version before 0.40 and expects the query to fail: it is not a demand on the schema.
 */
const expectedToFail = /cluster_shards/

/** Rows that lead the library past its start-up checks: migrations done, one process id, one row wherever one is read. */
const answer = (text: string): ReadonlyArray<Record<string, unknown>> =>
  /migration_id/.test(text) ? [{ migration_id: 1_000_000, name: "", created_at: new Date(0) }] : []

const values = (text: string): ReadonlyArray<ReadonlyArray<unknown>> =>
  /pg_backend_pid\(\)"?\s*$|machine_id/i.test(text) ? [[1]] : []

/** `prepare` compares plans, not numbers of parameters: white space is all that we normalise. */
const tidy = (text: string): string => text.trim().replace(/\s+/g, " ")

const Ping = Rpc.make("ping", { payload: { id: Schema.String }, success: Schema.Void, primaryKey: ({ id }) => id })
const Plain = Rpc.make("plain", { success: Schema.Void })

const record = Effect.gen(function* () {
  const seen = new Map<string, string>()
  let operation = "start"
  let count = 0
  const note = (text: string) => {
    if (!preparable.test(text) || expectedToFail.test(text)) return
    const body = tidy(text)
    if ([...seen.values()].includes(body)) return
    count++
    seen.set(count === 1 ? `cluster.${operation}` : `cluster.${operation}.${count}`, body)
  }
  const noted =
    <A>(answer: (text: string) => A) =>
    (text: string) =>
      Effect.sync(() => {
        note(text)
        return answer(text)
      })
  const connection: SqlConnection.Connection = {
    execute: noted(answer),
    executeRaw: noted(() => undefined),
    executeStream: (text) => Stream.sync(() => note(text)),
    executeValues: noted(values),
    // The advisory locks are asked for here; their answer is a row of booleans.
    executeUnprepared: noted((text) => (/advisory_lock/.test(text) ? [{}] : []))
  }
  const client = yield* SqlClient.make({
    acquirer: Effect.succeed(connection),
    compiler: PgClient.makeCompiler(),
    spanAttributes: []
  }).pipe(Effect.provide(Reactivity.layer))

  const drive = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      operation = name
      count = 0
      return effect
    })

  const shard = ShardId.make("default", 1)
  const address = new EntityAddress.EntityAddress({
    entityType: EntityType.EntityType.make("Entity"),
    entityId: EntityId.EntityId.make("entity"),
    shardId: shard
  })
  const id = Snowflake.Snowflake("1")
  const request = <R extends Rpc.AnyWithProps>(rpc: R, payload: unknown) =>
    new Message.OutgoingRequest<Rpc.Any>({
      envelope: Envelope.makeRequest<Rpc.Any>({
        requestId: id,
        address,
        tag: rpc._tag as never,
        payload: payload as never,
        headers: Headers.empty
      }),
      context: Context.empty() as never,
      lastReceivedReply: Option.none(),
      rpc: rpc as never,
      respond: () => Effect.void
    })
  const keyed = request(Ping, Ping.payloadSchema.make({ id: "1" }))
  const context = Context.empty() as never

  yield* Effect.gen(function* () {
    const messages = yield* drive("messages.start", SqlMessageStorage.make())
    yield* drive("messages.saveKeyedRequest", messages.saveRequest(keyed))
    yield* drive("messages.saveRequest", messages.saveRequest(request(Plain, undefined)))
    yield* drive(
      "messages.saveAcknowledgement",
      messages.saveEnvelope(
        new Message.OutgoingEnvelope({
          envelope: new Envelope.AckChunk({ id, address, requestId: id, replyId: id }),
          rpc: Plain
        })
      )
    )
    yield* drive(
      "messages.saveInterrupt",
      messages.saveEnvelope(
        new Message.OutgoingEnvelope({ envelope: new Envelope.Interrupt({ id, address, requestId: id }), rpc: Plain })
      )
    )
    const reply = (value: Reply.Reply<typeof Plain>) =>
      messages.saveReply(new Reply.ReplyWithContext<typeof Plain>({ reply: value, context, rpc: Plain }))
    yield* drive("messages.saveReply", reply(new Reply.WithExit({ id, requestId: id, exit: Exit.void })))
    const chunks = Rpc.make("chunks", { success: Schema.String, stream: true })
    yield* drive(
      "messages.saveChunk",
      messages.saveReply(
        new Reply.ReplyWithContext<typeof chunks>({
          reply: new Reply.Chunk({ id, requestId: id, sequence: 0, values: ["a"] }) as never,
          context,
          rpc: chunks
        })
      )
    )
    yield* drive("messages.clearReplies", messages.clearReplies(id))
    yield* drive("messages.requestIdForPrimaryKey", messages.requestIdForPrimaryKey({ address, tag: "ping", id: "1" }))
    yield* drive("messages.repliesFor", messages.repliesFor([keyed]))
    yield* drive("messages.repliesForUnfiltered", messages.repliesForUnfiltered([id]))
    yield* drive("messages.unprocessed", messages.unprocessedMessages([shard]))
    yield* drive("messages.unprocessedById", messages.unprocessedMessagesById([id]))
    yield* drive("messages.resetAddress", messages.resetAddress(address))
    yield* drive("messages.clearAddress", messages.clearAddress(address))
    yield* drive("messages.resetShards", messages.resetShards([shard]))

    const runners = yield* drive("runners.start", SqlRunnerStorage.make({}))
    const here = RunnerAddress.make("127.0.0.1", 1)
    yield* drive(
      "runners.register",
      runners.register(Runner.make({ address: here, groups: ["default"], weight: 1 }), true)
    )
    yield* drive("runners.all", runners.getRunners)
    yield* drive("runners.setHealth", runners.setRunnerHealth(here, true))
    yield* drive("runners.acquire", runners.acquire(here, [shard]))
    yield* drive("runners.refresh", runners.refresh(here, [shard]))
    yield* drive("runners.release", runners.release(here, shard))
    yield* drive("runners.releaseAll", runners.releaseAll(here))
    yield* drive("runners.unregister", runners.unregister(here))
    operation = "end"
  }).pipe(
    Effect.provideService(SqlClient.SqlClient, client),
    Effect.provide(Layer.merge(Snowflake.layerGenerator, ShardingConfig.layer({ shardGroups: ["default"] } as never))),
    Effect.scoped
  )
  seen.delete("cluster.end")
  return [...seen].map(([name, text]): LibraryStatement => ({ name, text }))
})

/** A clock that stands still for whoever reads it: the library writes the time into the text of some statements. */
const standing: Clock.Clock = (() => {
  const clock = Clock.make()
  return {
    ...clock,
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    sleep: (duration) => clock.sleep(duration),
    unsafeCurrentTimeMillis: () => 0,
    unsafeCurrentTimeNanos: () => 0n,
    currentTimeMillis: Effect.succeed(0),
    currentTimeNanos: Effect.succeed(0n)
  }
})()

/** Every statement of the library's storages that a release may run, in the order of first use. */
export const libraryStatements: Effect.Effect<ReadonlyArray<LibraryStatement>> = record.pipe(
  Effect.withClock(standing),
  Effect.orDie
)
