/**
 * The cluster's message storage over a database that may be away for a while.
 *
 * The library takes a failed statement for the end: an execution whose next activity could not be stored just then dies for
 * good, one that waits for a person does so after 2 s, a finished activity whose reply could not be stored is run again, and
 * an approval whose execution could not be woken is lost. Nothing of that need be: each of these may simply be said again.
 * Whoever lost its shard meanwhile is interrupted while it waits.
 */
import { Message, MessageStorage, type Reply, type Snowflake } from "@effect/cluster"
import type { Rpc } from "@effect/rpc"
import { Context, Effect, Layer, Schedule } from "effect"
import { isTransient } from "../events/EventStore.ts"
import { Holding } from "./Holding.ts"
import { answered, isTaken, sqlErrorOf } from "./storage/Answers.ts"

/** Longer than any outage that a runner survives with its shards. */
const patience = Schedule.exponential("50 millis", 2).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.upTo("5 minutes")
)

/** Before the second try. */
const FIRST = "50 millis"

/** A caller hears at most twice as late of a reply of which it was not told: see `registerReplyHandler`. */
const LOOK = "2.5 seconds"
/** Requests of one query. */
const AT_ONCE = 500

interface Waiting {
  readonly message: Message.OutgoingRequest<Rpc.Any>
  looked: boolean
  /** What was found in the table. */
  reply: Reply.WithExit<Rpc.Any> | undefined
}

const isAway = (error: { readonly _tag: string }): boolean => {
  const cause = sqlErrorOf(error)
  return cause !== undefined && isTransient(cause)
}

/** The first try without a schedule: to make one for each call costs more than the call's own part, and hardly any fails. */
const patient = <A, E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<A, E, R>,
  still = () => true
): Effect.Effect<A, E, R> => {
  const again = (error: E) => isAway(error) && still()
  return Effect.catchIf(effect, again, () =>
    Effect.zipRight(Effect.sleep(FIRST), Effect.retry(effect, { schedule: patience, while: again }))
  )
}

/** Gives a request that did not come from storage the way to be answered which those have that did. */
export class Answering extends Context.Tag("runtime/Answering")<
  Answering,
  <R extends Rpc.Any>(message: Message.IncomingRequest<R>) => Message.Incoming<R>
>() {}

const make = Effect.gen(function* () {
  const storage = yield* MessageStorage.MessageStorage
  const holding = yield* Holding
  /** Who waits here for the reply to a request that this process sent to itself. */
  const waiting = new Map<Snowflake.Snowflake, Set<Waiting>>()

  /** Looks in the table for those who wait, and lets those go whose answer is there. */
  const look = (all: ReadonlyArray<Waiting>) =>
    Effect.gen(function* () {
      for (let from = 0; from < all.length; from += AT_ONCE) {
        for (const reply of yield* storage.repliesFor(all.slice(from, from + AT_ONCE).map(({ message }) => message))) {
          if (reply._tag !== "WithExit") continue
          for (const one of waiting.get(reply.requestId) ?? []) one.reply = reply
          yield* storage.unregisterReplyHandler(reply.requestId)
        }
      }
    }).pipe(Effect.catchAllCause((cause) => Effect.logDebug("Could not look for replies", cause)))

  // The first reply counts, be it ours of which we did not hear or that of a runner that was frozen. It is told to those who wait
  // here, and another process that waits by a call to this one is told to look for it itself: it may have called after that reply
  // was stored, and nothing else would ever answer it.
  const answeredAlready = (requestId: Snowflake.Snowflake) =>
    Effect.logDebug("The message was answered already").pipe(
      Effect.zipRight(Effect.suspend(() => look([...(waiting.get(requestId) ?? [])]))),
      Effect.zipRight(storage.unregisterReplyHandler(requestId))
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

  // Those that wait since before the last look. One fiber for all: a race and a timer for each call cost more than the call.
  yield* Effect.suspend(() => {
    const due: Array<Waiting> = []
    for (const all of waiting.values()) {
      for (const one of all) {
        if (one.looked) due.push(one)
        one.looked = true
      }
    }
    return look(due)
  }).pipe(Effect.schedule(Schedule.spaced(LOOK)), Effect.forkScoped)

  const answering = Answering.of((message) =>
    answeredPatiently(new Message.IncomingRequest({ ...message, respond: storage.saveReply }))
  )
  const patiently = MessageStorage.MessageStorage.of({
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
      const own: Waiting = { message: message as unknown as Waiting["message"], looked: false, reply: undefined }
      return Effect.ensuring(
        Effect.catchAll(
          Effect.suspend(() => {
            waiting.set(requestId, (waiting.get(requestId) ?? new Set()).add(own))
            return storage.registerReplyHandler(message)
          }),
          (gone) => (own.reply === undefined ? Effect.fail(gone) : own.message.respond(own.reply))
        ),
        Effect.sync(() => {
          const all = waiting.get(requestId)
          all?.delete(own)
          if (all?.size === 0) waiting.delete(requestId)
        })
      )
    }
  })
  return Context.make(MessageStorage.MessageStorage, patiently).pipe(Context.add(Answering, answering))
})

export const layer: Layer.Layer<
  MessageStorage.MessageStorage | Answering,
  never,
  MessageStorage.MessageStorage | Holding
> = Layer.scopedContext(make)
