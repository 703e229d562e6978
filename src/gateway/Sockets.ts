/** All WebSockets of this gateway: the handshake with its refusals, and closing them when the gateway stops. */
import { type IncomingMessage, ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import { Context, Duration, Effect, FiberSet, Layer, type ParseResult, Schedule, Schema } from "effect"
import { type WebSocket, WebSocketServer } from "ws"
import { MAX_BODY_BYTES } from "../domain/Api.ts"
import { SessionId } from "../domain/Ids.ts"
import { PROBLEM_MEDIA_TYPE, type Problem, problem, toDocument } from "../domain/Problem.ts"
import { CloseCode } from "../domain/SocketMessages.ts"
import { Admission, clientAddress, ProxyHops } from "./Admission.ts"
import { Identity } from "./Identity.ts"
import { AllowedOrigins, mayConnect } from "./Origins.ts"
import * as Pulse from "./Pulse.ts"
import { answered } from "./RequestCount.ts"
import { defaultLimits, type Requirements as Served, type SocketLimits, serve } from "./SessionSocket.ts"

/** Browsers can not set a header on a WebSocket: they offer the protocols `bearer` and the token, and get `bearer`. */
const BEARER_PROTOCOL = "bearer"
/** Closing all at once would bring all clients back in the same moment. */
const CLOSE_SPREAD = Duration.millis(500)
/** A peer that does not answer the close. */
const CLOSE_TIMEOUT = Duration.seconds(2)

export class Sockets extends Context.Tag("gateway/Sockets")<
  Sockets,
  {
    readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
    /** Closes all with "service restart" and ends when they are closed. */
    readonly closeAll: Effect.Effect<void>
    readonly count: Effect.Effect<number>
  }
>() {}

const tokenOf = (request: IncomingMessage): string => {
  const header = /^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1]
  if (header !== undefined) return header
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((word) => word.trim())
  return offered[0] === BEARER_PROTOCOL ? (offered[1] ?? "") : ""
}

const malformed = (error: ParseResult.ParseError) =>
  problem(
    "malformed-request",
    error.message
      .split("\n")
      .at(-1)
      ?.replace(/^[└─\s]+/, "") ?? ""
  )

const decodeSession = Schema.decodeUnknown(SessionId)
const decodeEventId = Schema.decodeUnknown(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()))

/** Who comes, to which session, from which event on. */
const handshake = Effect.fn("Sockets.handshake")(function* (request: IncomingMessage) {
  const forwarded = request.headers["x-forwarded-for"]
  yield* (yield* Admission).address(
    clientAddress(
      request.socket.remoteAddress,
      Array.isArray(forwarded) ? forwarded.join(",") : forwarded,
      yield* ProxyHops
    )
  )
  const url = new URL(request.url ?? "/", "http://gateway")
  const path = /^\/ws\/([^/]+)$/.exec(url.pathname)?.[1]
  if (path === undefined) return yield* problem("route-not-found", "WebSockets are at /ws/{sessionId}.")
  if (!mayConnect(yield* AllowedOrigins, request.headers.origin)) {
    return yield* problem("origin-not-allowed", "Connect from a page of an origin that this gateway lists.")
  }
  const caller = yield* (yield* Identity).verify(tokenOf(request))
  const sessionId = yield* decodeSession(path).pipe(Effect.mapError(malformed))
  const after = yield* decodeEventId(url.searchParams.get("lastEventId") ?? "0").pipe(
    Effect.mapError(() => problem("malformed-request", "lastEventId: a whole number from 0 up, the id of an event."))
  )
  return { caller, sessionId, after }
})

const refuse = (request: IncomingMessage, socket: Duplex, error: Problem) => {
  const response = new ServerResponse(request)
  // A Duplex at an upgrade is the TCP socket: Node types it wider for TLS and pipes.
  response.assignSocket(socket as Parameters<typeof response.assignSocket>[0])
  response.writeHead(error.status, {
    "content-type": PROBLEM_MEDIA_TYPE,
    connection: "close",
    ...(error.retryAfter === undefined ? {} : { "retry-after": String(error.retryAfter) })
  })
  response.end(JSON.stringify(toDocument(error)), () => socket.end())
  answered(error.status)
}

type Requirements = Identity | ProxyHops | AllowedOrigins | Served

/** `limits` are for tests; production takes the defaults. */
export const layer = (limits: SocketLimits = defaultLimits): Layer.Layer<Sockets, never, Requirements> =>
  Layer.scoped(
    Sockets,
    Effect.gen(function* () {
      const server = new WebSocketServer({
        noServer: true,
        // The library's default is 100 MiB a frame.
        maxPayload: MAX_BODY_BYTES,
        // Costs memory per socket and buys little on small JSON frames.
        perMessageDeflate: false,
        handleProtocols: (offered) => (offered.has(BEARER_PROTOCOL) ? BEARER_PROTOCOL : false)
      })
      const open = new Set<WebSocket>()
      const run = yield* FiberSet.makeRuntime<Requirements, void, never>()
      const pulse = yield* Pulse.make(limits.pingInterval)

      // Not from the start of the stop: whoever still comes is served until the gateway stops accepting.
      let closing = false
      const live = (request: IncomingMessage, socket: Duplex, head: Buffer) =>
        Effect.gen(function* () {
          if (closing) {
            return yield* problem("shutting-down", "Connect again: another gateway answers.", { retryAfter: 1 })
          }
          return yield* handshake(request)
        }).pipe(
          Effect.map((session) =>
            server.handleUpgrade(request, socket, head, (websocket) => {
              answered(101)
              // Until someone listens for messages, they must wait in the TCP socket.
              websocket.pause()
              open.add(websocket)
              websocket.once("close", () => open.delete(websocket))
              serve(websocket, session, limits, pulse, run)
            })
          ),
          Effect.catchAll((error) => Effect.sync(() => refuse(request, socket, error))),
          Effect.catchAllDefect((defect) =>
            Effect.logError("a socket failed", defect).pipe(Effect.andThen(Effect.sync(() => socket.destroy())))
          )
        )

      return {
        upgrade: (request, socket, head) => {
          // Until `ws` listens, an error of the TCP socket has nobody else.
          socket.on("error", () => {})
          run(live(request, socket, head))
        },
        count: Effect.sync(() => open.size),
        closeAll: Effect.gen(function* () {
          closing = true
          const sockets = [...open]
          const pause = Duration.times(CLOSE_SPREAD, 1 / Math.max(1, sockets.length))
          yield* Effect.forEach(
            sockets,
            (socket) =>
              Effect.sync(() => socket.close(CloseCode.serviceRestart, "this gateway restarts: reconnect")).pipe(
                Effect.zipLeft(sockets.length > 1 ? Effect.sleep(pause) : Effect.void)
              ),
            { discard: true }
          )
          yield* Effect.sync(() => open.size).pipe(
            Effect.repeat({ until: (size) => size === 0, schedule: Schedule.spaced("10 millis") }),
            Effect.timeoutOption(CLOSE_TIMEOUT)
          )
          for (const socket of open) socket.terminate()
        })
      }
    })
  )
