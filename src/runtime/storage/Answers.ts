/** What the layers around a message storage share: its failures, and the way by which what was read from it is answered. */
import { type ClusterError, Message, type Reply } from "@effect/cluster"
import type { Rpc } from "@effect/rpc"
import { SqlError } from "@effect/sql/SqlError"
import type { Effect } from "effect"

type Failure = ClusterError.PersistenceError | ClusterError.MalformedMessage
type Answering = Effect.Effect<void, Failure>

export const sqlErrorOf = (error: { readonly _tag: string }): SqlError | undefined => {
  const cause = error._tag === "PersistenceError" ? (error as ClusterError.PersistenceError).cause : undefined
  return cause instanceof SqlError ? cause : undefined
}

/** A second row under a unique key: of replies, there is one with an exit to each request. */
export const isTaken = (error: { readonly _tag: string }): boolean =>
  (sqlErrorOf(error)?.cause as { readonly code?: unknown } | undefined)?.code === "23505"

/** What the library reads from storage carries a way back to its own `saveReply`, past the layers above: they wrap it here. */
export const answered = <R extends Rpc.Any>(
  message: Message.Incoming<R>,
  wrap: (answering: Answering, reply: Reply.ReplyWithContext<R>, message: Message.IncomingRequest<R>) => Answering
): Message.Incoming<R> =>
  message._tag === "IncomingRequest"
    ? new Message.IncomingRequest({ ...message, respond: (reply) => wrap(message.respond(reply), reply, message) })
    : message
