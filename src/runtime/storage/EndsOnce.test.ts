/** Two runners' storages on one database: one has lost its shard and does not know, the other is the next owner. */
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
import { Workflow } from "@effect/workflow"
import { Context, Effect, Exit, Fiber, Layer, Option, Schema } from "effect"
import { vi } from "vitest"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import * as Database from "../Database.ts"
import * as Holding from "../Holding.ts"
import * as PatientStorage from "../PatientStorage.ts"
import { databaseFromUrl } from "../Settings.ts"
import * as EndsOnce from "./EndsOnce.ts"
import * as GroupStorage from "./GroupStorage.ts"

vi.setConfig({ testTimeout: 60_000 })

/** As the library's workflow engine declares it. */
const Run = Rpc.make("run", { success: Workflow.Result({ success: Schema.String, error: Schema.Never }) })

const shard = ShardId.make("default", 7)
const kinds = { stock: SqlMessageStorage.layer, group: GroupStorage.layer }

const stage = (kind: keyof typeof kinds) =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const services = yield* Layer.build(
      Layer.mergeAll(
        Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 4 }),
        ShardingConfig.layer(),
        Snowflake.layerGenerator
      ).pipe(Layer.orDie)
    )
    const pool = Context.get(services, Database.Pool)
    const runnersStorage = Layer.build(
      Layer.fresh(
        PatientStorage.layer.pipe(
          Layer.provide(EndsOnce.layer),
          Layer.provide(kinds[kind]),
          Layer.provide(Holding.layer)
        )
      )
    ).pipe(
      Effect.provide(services),
      Effect.map((built) => Context.get(built, MessageStorage.MessageStorage))
    )
    const late = yield* runnersStorage
    const owner = yield* runnersStorage
    const ids = Context.get(services, Snowflake.Generator)
    const sent = new Message.OutgoingRequest<typeof Run>({
      envelope: Envelope.makeRequest<typeof Run>({
        requestId: ids.unsafeNext(),
        address: new EntityAddress.EntityAddress({
          entityType: EntityType.EntityType.make("Workflow/Agent"),
          entityId: EntityId.EntityId.make("one"),
          shardId: shard
        }),
        tag: "run",
        payload: undefined,
        headers: Headers.empty
      }),
      context: Context.empty(),
      lastReceivedReply: Option.none(),
      rpc: Run,
      respond: () => Effect.void
    })
    const { requestId } = sent.envelope
    yield* owner.saveRequest(sent)

    const read = (storage: MessageStorage.MessageStorage["Type"]) =>
      Effect.gen(function* () {
        yield* storage.resetShards([shard])
        const [message] = yield* storage.unprocessedMessages([shard])
        if (message?._tag !== "IncomingRequest") return yield* Effect.dieMessage("the request was not read")
        return message
      })
    const reply = (value: Workflow.Result<string, never>) =>
      new Reply.ReplyWithContext<typeof Run>({
        reply: new Reply.WithExit<typeof Run>({ id: ids.unsafeNext(), requestId, exit: Exit.succeed(value) }),
        context: Context.empty(),
        rpc: Run
      })
    const stored = Effect.map(
      database.query<{ payload: string; processed: boolean; last: boolean }>(
        `select r.payload, m.processed, m.last_reply_id = r.id as last
           from cluster.cluster_messages m left join cluster.cluster_replies r on r.request_id = m.id`
      ),
      (rows) => rows.map(({ payload, ...rest }) => ({ ...rest, reply: JSON.parse(payload ?? "null")?.value }))
    )
    return { pool, late, owner, sent, read, reply, stored, requestId }
  })

const suspended = new Workflow.Suspended({})
const ended = (text: string) => new Workflow.Complete({ exit: Exit.succeed(text) })
const endedWith = (text: string) => [
  { reply: { _tag: "Complete", exit: { _tag: "Success", value: text } }, processed: true, last: true }
]

const KEEPS = "keeps the end of an execution that a stale owner called suspended meanwhile"

for (const kind of ["stock", "group"] as const) {
  it.scopedLive(`${KEEPS} (${kind})`, () =>
    Effect.gen(function* () {
      const { late, owner, sent, read, reply, stored } = yield* stage(kind)
      const before = yield* read(late)
      const now = yield* read(owner)
      const heard: Array<unknown> = []
      const waits = yield* Effect.fork(
        owner.registerReplyHandler(
          new Message.OutgoingRequest({ ...sent, respond: (answer) => Effect.sync(() => heard.push(answer)) })
        )
      )
      yield* before.respond(reply(suspended))
      yield* now.respond(reply(ended("done")))
      expect(yield* stored).toEqual(endedWith("done"))
      // Whoever waits for the end hears of it, though it was no new reply.
      yield* Fiber.join(waits)
      expect(heard).toMatchObject([{ _tag: "WithExit", exit: { value: { _tag: "Complete" } } }])
      // Said again, as after a commit of which nobody heard.
      yield* now.respond(reply(ended("again")))
      expect(yield* stored).toEqual(endedWith("done"))
    })
  )

  it.scopedLive(`lets no late word change the end of an execution (${kind})`, () =>
    Effect.gen(function* () {
      const { late, owner, read, reply, stored } = yield* stage(kind)
      const before = yield* read(late)
      yield* (yield* read(owner)).respond(reply(ended("done")))
      yield* before.respond(reply(suspended))
      yield* late.saveReply(reply(suspended))
      yield* before.respond(reply(ended("late")))
      expect(yield* stored).toEqual(endedWith("done"))
    })
  )

  it.scopedLive(`stores the end when somebody takes the late suspension back just then (${kind})`, () =>
    Effect.gen(function* () {
      const { pool, late, owner, read, reply, stored, requestId } = yield* stage(kind)
      const before = yield* read(late)
      const now = yield* read(owner)
      yield* before.respond(reply(suspended))
      // Between the refusal and what follows it.
      const query = pool.query.bind(pool) as (...args: ReadonlyArray<unknown>) => unknown
      pool.query = ((...args: ReadonlyArray<unknown>) => {
        if ((args[0] as { readonly name?: string }).name !== "storage.complete") return query(...args)
        pool.query = query as never
        Effect.runFork(
          Effect.zipRight(
            late.clearReplies(requestId),
            Effect.sync(() => query(...args))
          )
        )
      }) as never
      yield* now.respond(reply(ended("done")))
      expect(yield* stored).toEqual(endedWith("done"))
    })
  )
}
