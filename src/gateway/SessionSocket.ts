/**
 * One client at one session: its events out, its messages in.
 *
 * Events are pulled, not pushed: the next is read only once the socket has taken the last, so a slow reader holds nothing
 * but its place in the session, however fast the run writes. What a socket may hold is bounded in bytes, and a reader that
 * does not take them in time is closed with a reason.
 */
import { Duration, Effect, Either, Queue, Ref, Schedule, Schema, Stream } from "effect"
import type { WebSocket } from "ws"
import type { Caller } from "../domain/Caller.ts"
import type { SessionId } from "../domain/Ids.ts"
import { type Problem, problem, toDocument } from "../domain/Problem.ts"
import { ClientMessage, CloseCode, ServerMessage } from "../domain/SocketMessages.ts"
import { DefaultModel } from "./Operations.ts"
import { Records } from "./Ports.ts"
import * as Runs from "./Runs.ts"

export interface SocketLimits {
  /** Bytes that wait in this process for the client to take them. */
  readonly bufferedBytes: number
  /** How long the buffer may stay full. */
  readonly slowReaderTimeout: Duration.DurationInput
  /** A ping is sent this often; any frame counts as a sign of life. */
  readonly pingInterval: Duration.DurationInput
  readonly heartbeatTimeout: Duration.DurationInput
  /** How long events may be unreadable (a database outage) before the client is sent away. */
  readonly outageLimit: Duration.DurationInput
}

export const defaultLimits: SocketLimits = {
  bufferedBytes: 256 * 1024,
  slowReaderTimeout: "10 seconds",
  pingInterval: "15 seconds",
  heartbeatTimeout: "45 seconds",
  outageLimit: "30 seconds"
}

/** Messages of a client that wait for the one in hand. At the bound the gateway stops reading from the socket. */
const INBOX = 16
const MAX_BAD_MESSAGES = 10

/** Why the gateway ends a socket. */
export interface Closing {
  readonly code: number
  readonly reason: string
}

const encode = Schema.encodeSync(Schema.parseJson(ServerMessage))
const decode = Schema.decodeUnknownEither(Schema.parseJson(ClientMessage), { errors: "first" })

/** Sends one message, and waits while the socket holds too much. */
const sender = (socket: WebSocket, limits: SocketLimits) => {
  const roomAgain = Effect.sync(() => socket.bufferedAmount < limits.bufferedBytes || socket.readyState !== socket.OPEN)
  return (message: ServerMessage): Effect.Effect<void, Closing> =>
    Effect.suspend(() => {
      if (socket.readyState !== socket.OPEN) return Effect.void
      socket.send(encode(message))
      if (socket.bufferedAmount < limits.bufferedBytes) return Effect.void
      return roomAgain.pipe(
        Effect.repeat({ until: (room) => room, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutFail({
          duration: limits.slowReaderTimeout,
          onTimeout: () => ({
            code: CloseCode.slowReader,
            reason: "events are not read fast enough: reconnect with lastEventId"
          })
        }),
        Effect.asVoid
      )
    })
}

/** Events from `after` on. An outage is waited out from the last event sent, so nothing is lost or sent twice. */
const sendEvents = (
  session: { readonly caller: Caller; readonly sessionId: SessionId; readonly after: number },
  send: (message: ServerMessage) => Effect.Effect<void, Closing>,
  limits: SocketLimits
) =>
  Effect.gen(function* () {
    const records = yield* Records
    const last = yield* Ref.make(session.after)
    const outage = Schedule.spaced("250 millis").pipe(
      Schedule.upTo(limits.outageLimit),
      // Events that came through end the outage: the next one has the whole bound again.
      Schedule.resetAfter("5 seconds")
    )
    return yield* Ref.get(last).pipe(
      Effect.flatMap((after) =>
        records
          .follow({ tenantId: session.caller.tenantId, sessionId: session.sessionId }, after)
          .pipe(
            Stream.runForEach((event) => Effect.zipRight(send({ type: "event", event }), Ref.set(last, event.eventId)))
          )
      ),
      Effect.tapErrorTag("StorageUnavailable", ({ cause }) => Effect.logWarning("events can not be read", cause)),
      Effect.retry({ schedule: outage, while: (error) => "_tag" in error }),
      Effect.catchTag("StorageUnavailable", () =>
        Effect.fail({ code: CloseCode.tryAgainLater, reason: "events can not be read: reconnect with lastEventId" })
      )
    )
  })

/** Carries out one message and answers it. */
const handle = (
  session: { readonly caller: Caller; readonly sessionId: SessionId },
  message: ClientMessage
): Effect.Effect<ServerMessage, never, Runs.Requirements | DefaultModel> => {
  const ref = message.ref === undefined ? {} : { ref: message.ref }
  const run = Effect.gen(function* () {
    switch (message.type) {
      case "heartbeat":
        return { type: "heartbeat", ...ref } as const
      case "ask": {
        const { type: _type, ref: _ref, ...request } = message
        return {
          type: "done",
          ...ref,
          run: yield* Runs.start(session.caller, session.sessionId, request, yield* DefaultModel)
        } as const
      }
      case "cancel":
        return { type: "done", ...ref, run: yield* Runs.cancel(session.caller, message.runId) } as const
      case "approve":
        return { type: "done", ...ref, run: yield* Runs.approve(session.caller, message.runId) } as const
    }
  })
  const refused = (error: Problem) => ({ type: "error", ...ref, problem: toDocument(error) }) as const
  return run.pipe(
    Effect.catchAll((error) => Effect.succeed(refused(error))),
    Effect.catchAllDefect((defect) =>
      Effect.logError("a socket's message failed", defect).pipe(
        Effect.as(refused(problem("internal-error", "The failure was logged.")))
      )
    )
  )
}

/** Serves a paused socket until it closes. The reason of a close by the gateway is the failure; a close by the client, success. */
export const serve = (
  socket: WebSocket,
  session: { readonly caller: Caller; readonly sessionId: SessionId; readonly after: number },
  limits: SocketLimits
) =>
  Effect.gen(function* () {
    const send = sender(socket, limits)
    const inbox = yield* Queue.unbounded<string>()
    let waiting = 0
    let heardAt = performance.now()

    // The queue has no bound of its own: at INBOX messages the socket is not read any more, which holds the sender by TCP.
    socket.on("message", (data, isBinary) => {
      heardAt = performance.now()
      waiting += 1
      if (waiting >= INBOX) socket.pause()
      inbox.unsafeOffer(isBinary ? "" : data.toString())
    })
    socket.on("pong", () => {
      heardAt = performance.now()
    })
    // An error is always followed by "close"; without a listener it would end the process.
    socket.on("error", () => {})
    const closed = Effect.async<void>((resume) => {
      if (socket.readyState === socket.CLOSED) return resume(Effect.void)
      socket.once("close", () => resume(Effect.void))
    })

    socket.resume()

    const badMessages = yield* Ref.make(0)
    const receive = Effect.gen(function* () {
      const text = yield* inbox.take
      const message = decode(text)
      if (Either.isRight(message)) {
        yield* Ref.set(badMessages, 0)
        yield* send(yield* handle(session, message.right))
      } else {
        const detail = "Send one JSON text frame a message, of type ask, cancel, approve or heartbeat."
        yield* send({
          type: "error",
          problem: toDocument(
            problem("malformed-request", `${detail} ${message.left.message.split("\n").at(-1)?.trim()}`)
          )
        })
        if ((yield* Ref.updateAndGet(badMessages, (count) => count + 1)) >= MAX_BAD_MESSAGES) {
          return yield* Effect.fail({ code: CloseCode.tooManyErrors, reason: "too many malformed messages" })
        }
      }
      waiting -= 1
      if (waiting < INBOX && socket.isPaused) {
        heardAt = performance.now()
        socket.resume()
      }
    }).pipe(Effect.forever)

    const heartbeat = Effect.suspend(() => {
      if (!socket.isPaused && performance.now() - heardAt > Duration.toMillis(limits.heartbeatTimeout)) {
        return Effect.fail({ code: CloseCode.heartbeatTimeout, reason: "nothing heard from the client" })
      }
      if (socket.readyState === socket.OPEN) socket.ping()
      return Effect.void
    }).pipe(Effect.repeat(Schedule.spaced(limits.pingInterval)), Effect.zipRight(Effect.never))

    yield* Effect.raceFirst(
      closed,
      Effect.all([sendEvents(session, send, limits), receive, heartbeat], { concurrency: "unbounded", discard: true })
    )
  })
