/**
 * A storage in which the end of an execution is kept: what it ended with is neither taken back (`statements.clear`) nor kept
 * out by the late "suspended" of a runner that had lost its shard (`statements.complete`).
 *
 * There is one reply to each request, and the first one counts. A runner that was frozen, or cut from the database, may store
 * that its execution is suspended while the next owner has it at work; the end is then refused as a second reply, and an
 * execution that has done all of its work would look suspended for ever.
 */
import { type ClusterError, MessageStorage, Reply } from "@effect/cluster"
import { PersistenceError } from "@effect/cluster/ClusterError"
import type { Rpc } from "@effect/rpc"
import { Effect, Layer } from "effect"
import { Pool } from "../Database.ts"
import { answered, isTaken } from "./Answers.ts"
import { runner } from "./prepared.ts"
import { clear, complete } from "./statements.ts"

const isEnd = <R extends Rpc.Any>({ reply }: Reply.ReplyWithContext<R>): boolean =>
  reply._tag === "WithExit" &&
  reply.exit._tag === "Success" &&
  (reply.exit.value as { readonly _tag?: unknown } | undefined)?._tag === "Complete"

const make = Effect.gen(function* () {
  const storage = yield* MessageStorage.MessageStorage
  const run = runner(yield* Pool)

  /** Whether it took the place of a suspension. */
  const inItsPlace = <R extends Rpc.Any>(reply: Reply.ReplyWithContext<R>) =>
    Effect.flatMap(Reply.serialize(reply), (encoded) =>
      encoded._tag === "WithExit"
        ? run(complete, encoded.id, encoded.requestId, JSON.stringify(encoded.exit)).pipe(
            Effect.map((rows) => rows.length > 0),
            PersistenceError.refail
          )
        : Effect.succeed(false)
    )

  type Failure = ClusterError.PersistenceError | ClusterError.MalformedMessage

  const kept = <R extends Rpc.Any>(
    saving: Effect.Effect<void, Failure>,
    reply: Reply.ReplyWithContext<R>
  ): Effect.Effect<void, Failure> =>
    isEnd(reply)
      ? Effect.catchIf(saving, isTaken, (error) =>
          // The refusal is told on: by it, whoever waits here for this reply goes and reads it. When nothing was in the way any
          // more, somebody woke the execution just then and took the suspension back: there is room for the end.
          Effect.flatMap(inItsPlace(reply), (done) => (done ? Effect.fail(error) : saving))
        )
      : saving

  return MessageStorage.MessageStorage.of({
    ...storage,
    unprocessedMessages: (shards) =>
      Effect.map(storage.unprocessedMessages(shards), (all) => all.map((message) => answered(message, kept))),
    unprocessedMessagesById: (ids) =>
      Effect.map(storage.unprocessedMessagesById(ids), (all) => all.map((message) => answered(message, kept))),
    saveReply: (reply) => kept(storage.saveReply(reply), reply),
    clearReplies: (requestId) => PersistenceError.refail(run(clear, String(requestId)))
  })
})

export const layer: Layer.Layer<MessageStorage.MessageStorage, never, MessageStorage.MessageStorage | Pool> =
  Layer.effect(MessageStorage.MessageStorage, make)
