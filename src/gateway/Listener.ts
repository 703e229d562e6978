/**
 * The HTTP server's life: its limits, and a stop that fails no request.
 *
 * Effect's own `NodeHttpServer.layer` closes at once and knows neither a drain nor a bound on WebSocket frames, so the
 * listener is ours; routing and handlers stay Effect's (`NodeHttpServer.makeHandler`).
 *
 * The stop, after SIGTERM (Kubernetes has run preStop by then, so that most Services have already let go of this pod):
 *   1. not ready; every response says `Connection: close`, so that kept-alive connections end by themselves
 *   2. serve on for `drainWindow`, for those who have not heard yet
 *   3. stop accepting, close WebSockets with 1012, wait for requests in flight, at most `drainLimit`
 *   4. wait for connections that are kept alive without a request, at most `idleLimit`. Closing one in the moment in which its
 *      client sends fails that request (measured: 1 of some 160 with Node's own `close`, which closes idle ones at once);
 *      so each is left to be told `Connection: close` with its next answer, and only who sends nothing for long is cut off
 */
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http"
import { Server as NetServer, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { Data, Duration, Effect, Fiber, Schedule, type Scope } from "effect"
import { PROBLEM_MEDIA_TYPE, problem, toDocument } from "../domain/Problem.ts"
import { Lifecycle } from "./Lifecycle.ts"

/** A JWT is about 1 KB; 16 KiB is Node's own default, written down. Above it: 431. */
const MAX_HEADER_BYTES = 16_384
const HEADERS_TIMEOUT = Duration.seconds(10)
const REQUEST_TIMEOUT = Duration.seconds(30)
/** Longer than Google's load balancer keeps an idle connection (600 s): whoever reuses a connection must be the one to end it. */
const KEEP_ALIVE_TIMEOUT = Duration.seconds(620)

export class ListenFailed extends Data.TaggedError("ListenFailed")<{ readonly message: string }> {}

export interface ListenerOptions {
  readonly host: string
  readonly port: number
  readonly drainWindow: Duration.DurationInput
  readonly drainLimit: Duration.DurationInput
  readonly idleLimit: Duration.DurationInput
  readonly handler: RequestListener
  readonly upgrade: (request: Parameters<RequestListener>[0], socket: Duplex, head: Buffer) => void
  /** Closes all WebSockets and ends when they are closed. */
  readonly closeSockets: Effect.Effect<void>
}

/** What Node itself refuses before there is a request: headers too large, malformed HTTP, too slow. */
const answerClientError = (error: NodeJS.ErrnoException, socket: Duplex) => {
  if (!socket.writable || error.code === "ECONNRESET") return socket.destroy()
  const [status, detail] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? (["431 Request Header Fields Too Large", `The headers are larger than ${MAX_HEADER_BYTES} bytes.`] as const)
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? (["408 Request Timeout", "The request did not arrive in time."] as const)
        : (["400 Bad Request", "This is not an HTTP/1.1 request."] as const)
  const body = JSON.stringify({
    ...toDocument(problem("malformed-request", detail)),
    status: Number(status.slice(0, 3))
  })
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: ${PROBLEM_MEDIA_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

const untilZero = (count: () => number) =>
  Effect.sync(count).pipe(Effect.repeat({ until: (left) => left === 0, schedule: Schedule.spaced("20 millis") }))

const listen = (server: Server, host: string, port: number) =>
  Effect.async<void, ListenFailed>((resume) => {
    const refused = (error: NodeJS.ErrnoException) =>
      resume(
        new ListenFailed({
          message:
            error.code === "EADDRINUSE"
              ? `Port ${port} of ${host} is taken by another process. End it, or set HTTP_PORT or LISTEN_HOST to another.`
              : `The gateway can not listen on ${host}:${port}: ${error.message}. Check LISTEN_HOST and HTTP_PORT.`
        })
      )
    server.once("error", refused)
    server.listen({ host, port }, () => {
      server.off("error", refused)
      resume(Effect.void)
    })
  })

/** Listens until the scope closes, and closes as the header says. Returns the port (useful when 0 was asked for). */
export const serve = (
  options: ListenerOptions
): Effect.Effect<{ readonly port: number }, ListenFailed, Scope.Scope | Lifecycle> =>
  Effect.gen(function* () {
    const lifecycle = yield* Lifecycle
    const connections = new Set<Socket>()
    const inFlight = new Set<ServerResponse>()
    let stopping = false

    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: Duration.toMillis(HEADERS_TIMEOUT),
      requestTimeout: Duration.toMillis(REQUEST_TIMEOUT),
      keepAliveTimeout: Duration.toMillis(KEEP_ALIVE_TIMEOUT)
    })
    server.on("connection", (socket) => {
      connections.add(socket)
      socket.once("close", () => connections.delete(socket))
    })
    server.on("request", (request, response) => {
      inFlight.add(response)
      response.once("close", () => inFlight.delete(response))
      if (stopping) response.setHeader("connection", "close")
      options.handler(request, response)
    })
    server.on("upgrade", options.upgrade)
    server.on("clientError", answerClientError)

    const stop = Effect.gen(function* () {
      stopping = true
      for (const response of inFlight) if (!response.headersSent) response.setHeader("connection", "close")
      yield* lifecycle.beginStop
      yield* Effect.logInfo("stopping: not ready, serving on").pipe(Effect.annotateLogs({ inFlight: inFlight.size }))
      yield* Effect.sleep(options.drainWindow)
      NetServer.prototype.close.call(server)
      yield* Effect.all(
        [
          options.closeSockets,
          untilZero(() => inFlight.size).pipe(Effect.timeoutOption(options.drainLimit)),
          untilZero(() => connections.size).pipe(Effect.timeoutOption(options.idleLimit))
        ],
        { concurrency: "unbounded" }
      )
      yield* Effect.logInfo("stopped serving").pipe(
        Effect.annotateLogs({ requestsCutOff: inFlight.size, idleConnectionsCutOff: connections.size - inFlight.size })
      )
      server.closeAllConnections()
    })

    // In a fiber of its own: the fiber that closes the scope is being interrupted, and would give up the drain at once.
    yield* Effect.acquireRelease(listen(server, options.host, options.port), () =>
      Effect.forkDaemon(Effect.interruptible(stop)).pipe(Effect.flatMap(Fiber.await))
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : options.port
    yield* Effect.logInfo("the gateway listens").pipe(Effect.annotateLogs({ host: options.host, port }))
    return { port }
  })
