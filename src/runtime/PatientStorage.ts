/**
 * The cluster's message storage over a database that may be away for a while.
 *
 * The library takes a failed statement for the end: an execution whose next activity could not be stored just then dies for
 * good, one that waits for a person does so after 2 s, a finished activity whose reply could not be stored is run again, and
 * an approval whose execution could not be woken is lost. Nothing of that need be: each of these may simply be said again.
 * Whoever lost its shard meanwhile is interrupted while it waits.
 */
import { type Message, MessageStorage, type Snowflake } from "@effect/cluster"
import type { Rpc } from "@effect/rpc"
import { Effect, Layer, Schedule } from "effect"
import { isTransient } from "../events/EventStore.ts"
import { Holding } from "./Holding.ts"
import { answered, isTaken, sqlErrorOf } from "./storage/Answers.ts"

/** Longer than any outage that a runner survives with its shards. */
const patience = Schedule.exponential("50 millis", 2).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.upTo("5 minutes")
)

/** How late a waiting execution hears of a reply of which it was not told: see `registerReplyHandler`. */
const LOOK = "5 seconds"

const isAway = (error: { readonly _tag: string }): boolean => {
  const cause = sqlErrorOf(error)
  return cause !== undefined && isTransient(cause)
}

const patient = <A, E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<A, E, R>,
  still = () => true
): Effect.Effect<A, E, R> => Effect.retry(effect, { schedule: patience, while: (error) => isAway(error) && still() })

const make = Effect.gen(function* () {
  const storage = yield* MessageStorage.MessageStorage
  const holding = yield* Holding
  /** Executions that wait here for the reply to a request. */
  const waiting = new Map<Snowflake.Snowflake, Set<Effect.Latch>>()

  // The first reply counts, be it ours of which we did not hear or that of a runner that was frozen.
  const answeredAlready = (requestId: Snowflake.Snowflake) =>
    Effect.zipRight(
      Effect.logDebug("The message was answered already"),
      Effect.sync(() => {
        for (const look of waiting.get(requestId) ?? []) look.unsafeOpen()
      })
    )

  /**
   * The library tries five times within a second to store an answer; after that the request counts as being at work for as
   * long as the process holds the shard: it is never answered and never run again. Whoever lost the shard stops, since the
   * next owner runs it anew.
   */
  const answeredPatiently = <R extends Rpc.Any>(message: Message.Incoming<R>) =>
    answered(message, (answering, _, { envelope }) =>
      patient(answering, () => holding.has(envelope.address.shardId)).pipe(
        Effect.catchIf(isTaken, () => answeredAlready(envelope.requestId))
      )
    )

  return MessageStorage.MessageStorage.of({
    ...storage,
    unprocessedMessages: (shards) =>
      Effect.map(storage.unprocessedMessages(shards), (all) => all.map((message) => answeredPatiently(message))),
    unprocessedMessagesById: (ids) =>
      Effect.map(storage.unprocessedMessagesById(ids), (all) => all.map((message) => answeredPatiently(message))),
    // Said again after a commit of which nobody heard, it finds its own row by the message's primary key.
    saveRequest: (message) => patient(storage.saveRequest(message)),
    saveReply: (reply) =>
      patient(storage.saveReply(reply)).pipe(Effect.catchIf(isTaken, () => answeredAlready(reply.reply.requestId))),
    clearReplies: (requestId) => patient(storage.clearReplies(requestId)),
    repliesForUnfiltered: (requestIds) => {
      const ids = [...requestIds]
      return patient(storage.repliesForUnfiltered(ids))
    },
    requestIdForPrimaryKey: (options) => patient(storage.requestIdForPrimaryKey(options)),
    resetShards: (shards) => {
      const all = [...shards]
      return patient(storage.resetShards(all))
    },
    // A handler hears of the reply that is stored in this process, after it was registered. One that was stored before, or
    // by another runner, or under the eyes of a connection that broke, is found in the table.
    registerReplyHandler: (message) => {
      if (message._tag !== "OutgoingRequest") return storage.registerReplyHandler(message)
      const { requestId } = message.envelope
      const soon = Effect.unsafeMakeLatch(false)
      const look: Effect.Effect<void> = Effect.raceFirst(Effect.sleep(LOOK), soon.await).pipe(
        Effect.zipRight(storage.repliesFor([message])),
        Effect.map((replies) => replies.find(({ _tag }) => _tag === "WithExit")),
        Effect.catchAll(() => Effect.succeed(undefined)),
        Effect.flatMap((reply) => {
          if (reply !== undefined) return message.respond(reply)
          soon.unsafeClose()
          return look
        })
      )
      return Effect.acquireUseRelease(
        Effect.sync(() => {
          const all = waiting.get(requestId) ?? new Set()
          waiting.set(requestId, all.add(soon))
        }),
        () => Effect.raceFirst(storage.registerReplyHandler(message), look),
        () =>
          Effect.sync(() => {
            const all = waiting.get(requestId)
            all?.delete(soon)
            if (all?.size === 0) waiting.delete(requestId)
          })
      )
    }
  })
})

export const layer: Layer.Layer<MessageStorage.MessageStorage, never, MessageStorage.MessageStorage | Holding> =
  Layer.effect(MessageStorage.MessageStorage, make)
