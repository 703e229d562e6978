import {
  ClusterError,
  EntityAddress,
  EntityId,
  EntityType,
  Envelope,
  Message,
  MessageStorage,
  Reply,
  ShardId,
  Snowflake
} from "@effect/cluster"
import { Headers } from "@effect/platform"
import { Rpc } from "@effect/rpc"
import { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import * as Holding from "./Holding.ts"
import * as PatientStorage from "./PatientStorage.ts"

const rpc = Rpc.make("step")
const shardId = ShardId.make("default", 7)
const requestId = Snowflake.Snowflake(1n)

const failed = (code: string) =>
  new ClusterError.PersistenceError({
    cause: new SqlError({ cause: Object.assign(new Error(code), { code }), message: "Failed to execute statement" })
  })

const envelope = {
  ...Envelope.makeRequest<typeof rpc>({
    requestId,
    address: new EntityAddress.EntityAddress({
      entityType: EntityType.EntityType.make("Entity"),
      entityId: EntityId.EntityId.make("one"),
      shardId
    }),
    tag: "step",
    payload: undefined,
    headers: Headers.empty
  }),
  _tag: "Request",
  payload: null
} as const

const reply = new Reply.ReplyWithContext<typeof rpc>({
  reply: new Reply.WithExit<typeof rpc>({ id: Snowflake.Snowflake(2n), requestId, exit: Exit.void }),
  context: Context.empty(),
  rpc
})

/** A storage with one message, whose reply is refused with these codes first. */
const stage = (refusals: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    let tries = 0
    const library = Layer.effect(
      MessageStorage.MessageStorage,
      Effect.map(MessageStorage.MessageStorage, (storage) =>
        MessageStorage.MessageStorage.of({
          ...storage,
          unprocessedMessages: () =>
            Effect.succeed([
              new Message.IncomingRequest({
                envelope,
                lastSentReply: Option.none(),
                respond: () =>
                  Effect.suspend(() => {
                    const code = refusals[tries++]
                    return code === undefined ? Effect.void : Effect.fail(failed(code))
                  })
              })
            ])
        })
      )
    ).pipe(Layer.provide(MessageStorage.layerNoop))
    const context = yield* Layer.build(
      PatientStorage.layer.pipe(Layer.provide(library), Layer.provideMerge(Holding.layer))
    )
    const [message] = yield* Context.get(context, MessageStorage.MessageStorage).unprocessedMessages([shardId])
    if (message?._tag !== "IncomingRequest") return yield* Effect.dieMessage("no request was read")
    return { respond: message.respond(reply), holding: Context.get(context, Holding.Holding), tries: () => tries }
  })

it.scoped("answers what was read from storage when the database is back, however long that takes", () =>
  Effect.gen(function* () {
    const { respond, tries } = yield* stage(Array.from({ length: 20 }, () => "57P03"))
    const answering = yield* Effect.fork(respond)
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(answering)
    expect(tries()).toBe(21)
  })
)

it.scoped("stops answering when the shard is another's: its next owner runs the message anew", () =>
  Effect.gen(function* () {
    const { respond, holding, tries } = yield* stage(Array.from({ length: 20 }, () => "57P03"))
    const answering = yield* Effect.fork(Effect.exit(respond))
    yield* TestClock.adjust("2 seconds")
    holding.has = (shard) => shard !== shardId
    yield* TestClock.adjust("2 seconds")
    expect(yield* Fiber.join(answering)).toEqual(Exit.fail(failed("57P03")))
    expect(tries()).toBeLessThan(20)
  })
)

it.scoped("takes an answer that is there already for its own, and a refusal for a refusal", () =>
  Effect.gen(function* () {
    const twice = yield* stage(["08006", "23505"])
    const answering = yield* Effect.fork(twice.respond)
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(answering)
    expect(twice.tries()).toBe(2)
    const { respond, tries } = yield* stage(["42P01"])
    expect(yield* Effect.exit(respond)).toEqual(Exit.fail(failed("42P01")))
    expect(tries()).toBe(1)
  })
)
