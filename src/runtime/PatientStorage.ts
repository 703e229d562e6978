/**
 * The cluster's message storage over a database that may be away for a while.
 *
 * The library takes a failed statement for the end: an execution whose next activity could not be stored just then dies for
 * good, one that waits for a person does so after 2 s, a finished activity whose reply could not be stored is run again, and
 * an approval whose execution could not be woken is lost. Nothing of that need be: each of these may simply be said again.
 * Whoever lost its shard meanwhile is interrupted while it waits.
 */
import { type ClusterError, MessageStorage } from "@effect/cluster"
import { SqlError } from "@effect/sql/SqlError"
import { Effect, Layer, Schedule } from "effect"
import { isTransient } from "../events/EventStore.ts"

/** Longer than any outage that a runner survives with its shards. */
const patience = Schedule.exponential("50 millis", 2).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.upTo("5 minutes")
)

/** How late a waiting execution hears of a reply of which it was not told: see `registerReplyHandler`. */
const LOOK = "5 seconds"

const sqlErrorOf = (error: { readonly _tag: string }): SqlError | undefined => {
  const cause = error._tag === "PersistenceError" ? (error as ClusterError.PersistenceError).cause : undefined
  return cause instanceof SqlError ? cause : undefined
}

const isAway = (error: { readonly _tag: string }): boolean => {
  const cause = sqlErrorOf(error)
  return cause !== undefined && isTransient(cause)
}

const isTaken = (error: { readonly _tag: string }): boolean =>
  (sqlErrorOf(error)?.cause as { readonly code?: unknown } | undefined)?.code === "23505"

const patient = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(effect, { schedule: patience, while: isAway })

export const layer: Layer.Layer<MessageStorage.MessageStorage, never, MessageStorage.MessageStorage> = Layer.effect(
  MessageStorage.MessageStorage,
  Effect.map(MessageStorage.MessageStorage, (storage) =>
    MessageStorage.MessageStorage.of({
      ...storage,
      // Said again after a commit of which nobody heard, it finds its own row by the message's primary key.
      saveRequest: (message) => patient(storage.saveRequest(message)),
      // The first reply counts, be it ours of which we did not hear or that of a runner that was frozen.
      saveReply: (reply) =>
        patient(storage.saveReply(reply)).pipe(
          Effect.catchIf(isTaken, () => Effect.logDebug("The message was answered already"))
        ),
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
        const look: Effect.Effect<void> = storage.repliesFor([message]).pipe(
          Effect.map((replies) => replies.find(({ _tag }) => _tag === "WithExit")),
          Effect.catchAll(() => Effect.succeed(undefined)),
          Effect.delay(LOOK),
          Effect.flatMap((reply) => (reply === undefined ? look : message.respond(reply)))
        )
        return Effect.raceFirst(storage.registerReplyHandler(message), look)
      }
    })
  )
)
