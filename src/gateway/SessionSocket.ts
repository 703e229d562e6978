/**
 * One client at one session: its events out, its messages in.
 *
 * Events are pulled, not pushed: the next is read only once the socket has taken the last, so a slow reader holds nothing
 * but its place in the session, however fast the run writes. What a socket may hold is bounded in bytes, and a reader that
 * does not take them in time is closed with a reason.
 *
 * A gateway has thousands of sockets that are silent most of the time. A silent one is one fiber, which waits for an event,
 * and an entry in the common pulse. Another fiber is there only while messages of the client are carried out.
 */
import { Duration, Effect, Either, type Fiber, FiberId, Schedule, Schema } from "effect"
import type { WebSocket } from "ws"
import type { Caller } from "../domain/Caller.ts"
import type { SessionId } from "../domain/Ids.ts"
import { type Problem, problem, toDocument } from "../domain/Problem.ts"
import { ClientMessage, CloseCode, ServerMessage } from "../domain/SocketMessages.ts"
import { DefaultModel } from "./Operations.ts"
import { Records, type StorageUnavailable } from "./Ports.ts"
import type { Pulse } from "./Pulse.ts"
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

/** Who waited longer than this had an answer from the database in between: a feed says every 6 s that it is still away. */
const NEW_OUTAGE_MILLIS = 12_000
const OUTAGE_RETRY = Duration.millis(250)

/** Events from `after` on. An outage is waited out from the last event sent, so nothing is lost or sent twice. */
const sendEvents = (
  session: { readonly caller: Caller; readonly sessionId: SessionId; readonly after: number },
  send: (message: ServerMessage) => Effect.Effect<void, Closing>,
  limits: SocketLimits
): Effect.Effect<never, Closing, Records> =>
  Effect.flatMap(Records, (records) => {
    const ref = { tenantId: session.caller.tenantId, sessionId: session.sessionId }
    let last = session.after
    let atOnce = true
    let askedAt = 0
    let outageSince: number | undefined

    const wait = ({ cause }: StorageUnavailable) => {
      const now = performance.now()
      if (outageSince === undefined || now - askedAt > NEW_OUTAGE_MILLIS) outageSince = now
      atOnce = true
      return now - outageSince > Duration.toMillis(limits.outageLimit)
        ? Effect.fail({ code: CloseCode.tryAgainLater, reason: "events can not be read: reconnect with lastEventId" })
        : Effect.logWarning("events can not be read", cause).pipe(Effect.zipRight(Effect.sleep(OUTAGE_RETRY)))
    }
    const next = Effect.suspend(() => {
      askedAt = performance.now()
      return records.next(ref, last, atOnce)
    })
    return next.pipe(
      Effect.flatMap(({ events, more }) => {
        outageSince = undefined
        atOnce = more
        return Effect.forEach(
          events,
          (event) =>
            Effect.zipRight(
              send({ type: "event", event }),
              Effect.sync(() => (last = event.eventId))
            ),
          { discard: true }
        )
      }),
      Effect.catchTag("StorageUnavailable", wait),
      Effect.forever
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

/** What is needed to serve one socket. */
export type Requirements = Records | Runs.Requirements | DefaultModel

/** Serves a paused socket until it closes. `fork` runs what is done for it, and ends it when the gateway does. */
export const serve = (
  socket: WebSocket,
  session: { readonly caller: Caller; readonly sessionId: SessionId; readonly after: number },
  limits: SocketLimits,
  pulse: Pulse,
  fork: (effect: Effect.Effect<void, never, Requirements>) => Fiber.RuntimeFiber<void>
): void => {
  const send = sender(socket, limits)
  const heartbeatTimeout = Duration.toMillis(limits.heartbeatTimeout)
  /** The first is in hand. At INBOX messages the socket is not read any more, which holds the sender by TCP. */
  const inbox: Array<string> = []
  let heardAt = performance.now()
  let badMessages = 0
  let ended = false
  let reading: Fiber.RuntimeFiber<void> | undefined
  let handling: Fiber.RuntimeFiber<void> | undefined

  const logged = { tenantId: session.caller.tenantId, sessionId: session.sessionId }
  const start = (work: Effect.Effect<void, Closing, Requirements>) =>
    fork(
      work.pipe(
        Effect.catchAll((closing) => Effect.sync(() => end(closing))),
        Effect.catchAllDefect((defect) =>
          Effect.logError("a socket failed", defect).pipe(Effect.andThen(Effect.sync(() => socket.terminate())))
        ),
        Effect.annotateLogs(logged)
      )
    )

  const end = (closing?: Closing) => {
    if (ended) return
    ended = true
    stopBeating()
    reading?.unsafeInterruptAsFork(FiberId.none)
    handling?.unsafeInterruptAsFork(FiberId.none)
    if (closing === undefined) return
    socket.close(closing.code, closing.reason)
    // The peer's answer to the close must be read.
    if (socket.isPaused) socket.resume()
    fork(Effect.annotateLogs(Effect.logInfo("a socket was closed"), { ...logged, ...closing }))
  }

  const receive = Effect.fnUntraced(function* (text: string) {
    const message = decode(text)
    if (Either.isRight(message)) {
      badMessages = 0
      return yield* send(yield* handle(session, message.right))
    }
    const detail = "Send one JSON text frame a message, of type ask, cancel, approve or heartbeat."
    yield* send({
      type: "error",
      problem: toDocument(problem("malformed-request", `${detail} ${message.left.message.split("\n").at(-1)?.trim()}`))
    })
    badMessages += 1
    if (badMessages >= MAX_BAD_MESSAGES) {
      return yield* Effect.fail({ code: CloseCode.tooManyErrors, reason: "too many malformed messages" })
    }
  })
  const receiveAll = Effect.gen(function* () {
    for (let text = inbox[0]; text !== undefined; text = inbox[0]) {
      yield* receive(text)
      inbox.shift()
      if (inbox.length < INBOX && socket.isPaused) {
        heardAt = performance.now()
        socket.resume()
      }
    }
    handling = undefined
  })

  const stopBeating = pulse.add((now) => {
    if (!socket.isPaused && now - heardAt > heartbeatTimeout) {
      end({ code: CloseCode.heartbeatTimeout, reason: "nothing heard from the client" })
    } else if (socket.readyState === socket.OPEN) socket.ping()
  })
  socket.on("message", (data, isBinary) => {
    if (ended) return
    heardAt = performance.now()
    inbox.push(isBinary ? "" : data.toString())
    if (inbox.length >= INBOX) socket.pause()
    if (inbox.length === 1) handling = start(receiveAll)
  })
  socket.on("pong", () => {
    heardAt = performance.now()
  })
  // An error is always followed by "close"; without a listener it would end the process.
  socket.on("error", () => {})
  socket.once("close", () => end())
  reading = start(sendEvents(session, send, limits))
  socket.resume()
}
