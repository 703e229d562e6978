/** What travels over `/ws/:sessionId`, one JSON text frame a message, and the codes with which the gateway closes a socket. */
import { Schema } from "effect"
import { StartRun } from "./Api.ts"
import { RecordedEvent } from "./Event.ts"
import { RunId } from "./Ids.ts"
import { ProblemDocument } from "./Problem.ts"
import { RunView } from "./Run.ts"

/** Names the message in the answer to it. */
const reference = Schema.optional(Schema.String.pipe(Schema.maxLength(100)))

export const ClientMessage = Schema.Union(
  Schema.Struct({ type: Schema.Literal("ask"), ref: reference, ...StartRun.fields }),
  Schema.Struct({ type: Schema.Literal("cancel"), ref: reference, runId: RunId }),
  Schema.Struct({ type: Schema.Literal("approve"), ref: reference, runId: RunId }),
  Schema.Struct({ type: Schema.Literal("heartbeat"), ref: reference })
)
export type ClientMessage = typeof ClientMessage.Type

export const ServerMessage = Schema.Union(
  /** An event of the session. Keep its `eventId`: it is the `lastEventId` to resume from. */
  Schema.Struct({ type: Schema.Literal("event"), event: RecordedEvent }),
  /** An ask, cancel or approve was carried out. */
  Schema.Struct({ type: Schema.Literal("done"), ref: reference, run: RunView }),
  Schema.Struct({ type: Schema.Literal("heartbeat"), ref: reference }),
  /** A message was refused, or could not be carried out. The socket stays open. */
  Schema.Struct({ type: Schema.Literal("error"), ref: reference, problem: ProblemDocument })
)
export type ServerMessage = typeof ServerMessage.Type

/** Reconnect with the last event id after all of them but `tooManyErrors`. */
export const CloseCode = {
  /** RFC 6455 / IANA: the gateway restarts. Another one takes over at once. */
  serviceRestart: 1012,
  /** Events could not be read for a while. */
  tryAgainLater: 1013,
  /** Nothing was heard from the client, not even the answer to a ping. */
  heartbeatTimeout: 4408,
  /** The client did not read: events waited longer than the gateway holds them. */
  slowReader: 4409,
  /** Too many messages in a row that are not what this socket takes. */
  tooManyErrors: 4400
} as const
