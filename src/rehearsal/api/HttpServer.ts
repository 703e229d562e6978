/**
 * The rehearsal's one port: Cloud Deploy's API, the little of Cloud Storage, and the console's state.
 *
 * It listens on loopback, and takes a request only with its token, a Host of its own (a foreign page's DNS name may resolve to
 * 127.0.0.1) and no Origin but its own.
 */
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http"
import type { Duplex } from "node:stream"
import { Effect, Exit, Option, Runtime, type Scope } from "effect"
import { isStorable } from "../../domain/Text.ts"
import * as Console from "../console/Console.ts"
import * as Load from "../console/Load.ts"
import { Reply } from "../console/Reply.ts"
import { admits, same } from "../console/Session.ts"
import * as Snapshot from "../console/Snapshot.ts"
import { ToolFailed } from "../Errors.ts"
import { fail, GoogleError } from "../engine/GoogleError.ts"
import type { Rollouts } from "../engine/Rollouts.ts"
import type { Sources } from "../engine/Source.ts"
import { Store } from "../engine/Store.ts"
import type { Host } from "../host/HostClient.ts"
import * as AuditLog from "./AuditLog.ts"
import * as CloudDeploy from "./CloudDeploy.ts"
import * as Objects from "./Objects.ts"

export interface ServerOptions {
  readonly port: number
  /** Asked of every request; `undefined` asks for none. */
  readonly token: string | undefined
  /** Opens the console, and nothing but what its page does. */
  readonly consoleToken: string
  /** Lets a hook ask what a rollout's record tells, and change nothing. */
  readonly hookToken: string
  /** Whom the audit log names: with a token, only one person can ask. */
  readonly principal: string | undefined
  readonly host: Host
  readonly sources: Sources
  readonly objectFolder: string
  readonly clockScale: number
}

const ADDRESS = "127.0.0.1"
const JSON_LIMIT_BYTES = 4 * 1024 * 1024
const UPLOAD_LIMIT_BYTES = 64 * 1024 * 1024
const EVENT_STREAMS_LIMIT = 32
const UNREAD_LIMIT_BYTES = 4 * 1024 * 1024

const read = (request: IncomingMessage, limit: number): Effect.Effect<Buffer, GoogleError> =>
  Effect.async((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    request.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) return void chunks.push(chunk)
      // What is too much is not kept; the answer goes out, then the connection ends.
      chunks.length = 0
      request.pause()
      resume(fail("INVALID_ARGUMENT", `A request's body may have ${limit} bytes.`))
    })
    request.on("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
    request.on("error", () => resume(fail("INVALID_ARGUMENT", "The request ended before its body did.")))
  })

const parsed = (body: Buffer): Effect.Effect<unknown, GoogleError> => {
  if (body.length === 0) return Effect.succeed({})
  let texts = true
  const look = (key: string, value: unknown) => {
    if (!isStorable(key) || (typeof value === "string" && !isStorable(value))) texts = false
    return value
  }
  return Effect.try({
    try: () => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body), look) as unknown,
    catch: () => fail("INVALID_ARGUMENT", "The body is not JSON.")
  }).pipe(
    Effect.filterOrFail(
      () => texts,
      () => fail("INVALID_ARGUMENT", "A text of the body holds a zero byte or half a character.")
    )
  )
}

const decoded = (path: string): Effect.Effect<string, GoogleError> =>
  Effect.try({
    try: () => decodeURIComponent(path),
    catch: () => fail("INVALID_ARGUMENT", "The path is not well encoded.")
  })

const isOwnHost = (host: string | undefined, port: number) =>
  host !== undefined && [`127.0.0.1:${port}`, `localhost:${port}`].includes(host)

/** What Google lets the account of a hook do: view, and read the log. */
const isHooks = ({ method }: IncomingMessage, { pathname }: URL) =>
  method === "GET" ? pathname.startsWith("/v1/") : method === "POST" && pathname === AuditLog.PATH

/** Listens until the scope closes. Gives the port. */
export const serve = (options: ServerOptions): Effect.Effect<number, ToolFailed, Scope.Scope | Store | Rollouts> =>
  Effect.gen(function* () {
    const store = yield* Store
    const objects = Objects.make(store, options.objectFolder)
    const cloudDeploy = yield* CloudDeploy.make({ objects, sources: options.sources })
    const runtime = yield* Effect.runtime<Store | Rollouts>()
    const load = yield* Load.make(options.host)
    const console_ = yield* Console.make({ ...options, load })
    const streams = new Set<ServerResponse>()

    const sameMachine = (request: IncomingMessage): Effect.Effect<void, GoogleError> => {
      const port = request.socket.localPort ?? 0
      if (!isOwnHost(request.headers.host, port)) {
        return fail("PERMISSION_DENIED", "This server answers to 127.0.0.1 and localhost alone.")
      }
      const origin = request.headers.origin
      if (origin !== undefined && ![`http://127.0.0.1:${port}`, `http://localhost:${port}`].includes(origin)) {
        return fail("PERMISSION_DENIED", "Pages of other origins may not speak to this server.")
      }
      return Effect.void
    }

    const guard = (request: IncomingMessage, url: URL): Effect.Effect<void, GoogleError> => {
      if (options.token === undefined) return Effect.void
      const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1]
      if (bearer !== undefined && same(bearer, options.token)) return Effect.void
      if (bearer !== undefined && same(bearer, options.hookToken) && isHooks(request, url)) return Effect.void
      const asking = { method: request.method ?? "GET", path: url.pathname, headers: request.headers }
      return admits(asking, options.consoleToken, request.socket.localPort ?? 0)
        ? Effect.void
        : fail(
            "UNAUTHENTICATED",
            url.pathname.startsWith("/console/")
              ? 'Open the link that "deliver serve" printed, or that "deliver serve --env" shows: it lets this browser in.'
              : 'The server\'s token is needed: eval "$(deliver serve --env)".'
          )
    }

    const asResource = ({ bucket, name, size }: Objects.StoredObject) => ({
      kind: "storage#object",
      id: `${bucket}/${name}/1`,
      bucket,
      name,
      size: String(size),
      generation: "1"
    })
    const asBucket = (name: string) => ({ kind: "storage#bucket", id: name, name, location: "LAPTOP" })

    const storage = (request: IncomingMessage, url: URL) =>
      Effect.gen(function* () {
        const upload = /^\/(?:resumable\/)?upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(url.pathname)
        if (upload !== null && request.method === "POST") {
          const body = yield* read(request, UPLOAD_LIMIT_BYTES)
          const bucket = yield* decoded(upload[1]!)
          if (url.searchParams.get("uploadType") === "media") {
            return asResource(yield* objects.put(bucket, url.searchParams.get("name") ?? "", body))
          }
          const part = Objects.multipart(request.headers["content-type"] ?? "", body)
          if (part === undefined) return yield* fail("INVALID_ARGUMENT", "The upload must be multipart or media.")
          return asResource(yield* objects.put(bucket, url.searchParams.get("name") ?? part.name ?? "", part.content))
        }
        const rewrite = /^\/storage\/v1\/b\/([^/]+)\/o\/(.+)\/rewriteTo\/b\/([^/]+)\/o\/(.+)$/.exec(url.pathname)
        if (rewrite !== null && request.method === "POST") {
          const [from, name, to, as] = yield* Effect.forEach(rewrite.slice(1), decoded)
          const copied = yield* objects.copy(yield* objects.find(from!, name!), to!, as!)
          return { kind: "storage#rewriteResponse", done: true, resource: asResource(copied) }
        }
        const one = /^\/storage\/v1\/b\/([^/]+)\/o\/(.+)$/.exec(url.pathname)
        if (one !== null && request.method === "GET") {
          return asResource(yield* objects.find(yield* decoded(one[1]!), yield* decoded(one[2]!)))
        }
        const bucket = /^\/storage\/v1\/b\/([^/]+)$/.exec(url.pathname)
        if (bucket !== null && request.method === "GET") {
          return asBucket(yield* Objects.bucketName(yield* decoded(bucket[1]!)))
        }
        if (url.pathname === "/storage/v1/b" && request.method === "GET") {
          const prefix = url.searchParams.get("prefix")
          return {
            kind: "storage#buckets",
            items: prefix === null ? [] : [asBucket(yield* Objects.bucketName(prefix))]
          }
        }
        if (url.pathname === "/storage/v1/b" && request.method === "POST") {
          const body = yield* parsed(yield* read(request, JSON_LIMIT_BYTES))
          return asBucket(yield* Objects.bucketName((body as { readonly name?: unknown } | null)?.name))
        }
        return yield* fail("NOT_FOUND", "Of Cloud Storage there is only what `gcloud deploy` needs.")
      })

    const route = (request: IncomingMessage, url: URL): Effect.Effect<unknown, GoogleError, Store> =>
      Effect.gen(function* () {
        yield* sameMachine(request)
        const open = console_.open(request.method ?? "GET", url, request.socket.localPort ?? 0)
        if (open !== undefined) return yield* open
        yield* guard(request, url)
        if (url.pathname === AuditLog.PATH && request.method === "POST") {
          return yield* AuditLog.entries(store, yield* parsed(yield* read(request, JSON_LIMIT_BYTES)))
        }
        if (url.pathname.startsWith("/v1/")) {
          const body = ["POST", "PATCH", "PUT"].includes(request.method ?? "")
            ? yield* parsed(yield* read(request, JSON_LIMIT_BYTES))
            : undefined
          return yield* cloudDeploy({
            method: request.method ?? "GET",
            name: yield* decoded(url.pathname.slice("/v1/".length)),
            query: Object.fromEntries(url.searchParams),
            body,
            principal: options.principal
          })
        }
        if (/^\/(resumable\/)?(upload\/)?storage\/v1\/b/.test(url.pathname)) return yield* storage(request, url)
        const shown = request.method === "GET" ? console_.closed(url) : undefined
        if (shown !== undefined) return yield* shown
        return yield* fail("NOT_FOUND", "There is nothing at this path.")
      })

    const answer = (response: ServerResponse, status: number, body: unknown) => {
      if (response.headersSent) return response.end()
      const text = JSON.stringify(body)
      response.writeHead(status, {
        "content-type": "application/json; charset=UTF-8",
        "content-length": Buffer.byteLength(text),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store"
      })
      response.end(text)
    }

    const write = (response: ServerResponse, { status, headers, body }: Reply) => {
      response.writeHead(status, {
        ...headers,
        "content-length": Buffer.byteLength(body),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store"
      })
      response.end(body)
    }

    // One at a time: the host may be slow to answer, and a page wants the newest state alone.
    let taking = false
    let again = false
    const send = () => {
      if (streams.size === 0) return
      if (taking) {
        again = true
        return
      }
      taking = true
      Runtime.runFork(runtime)(
        Snapshot.take(options.host, load, options.clockScale).pipe(
          Effect.flatMap((state) =>
            Effect.sync(() => {
              const text = `event: state\ndata: ${JSON.stringify(state)}\n\n`
              for (const stream of streams) {
                // A page that sleeps does not read: it comes back by itself, and states are not kept for it meanwhile.
                if (stream.writableLength > UNREAD_LIMIT_BYTES) stream.destroy()
                else stream.write(text)
              }
            })
          ),
          Effect.ignore,
          Effect.ensuring(
            Effect.sync(() => {
              taking = false
              if (!again) return
              again = false
              send()
            })
          )
        )
      )
    }

    const events = (response: ServerResponse) => {
      if (streams.size >= EVENT_STREAMS_LIMIT) {
        const refusal = fail("FAILED_PRECONDITION", "Too many pages follow already.")
        return answer(response, refusal.code, refusal.body)
      }
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" })
      streams.add(response)
      response.on("close", () => streams.delete(response))
      send()
    }

    const handle = (request: IncomingMessage, response: ServerResponse) => {
      const url = URL.parse(request.url ?? "/", `http://${ADDRESS}`)
      const raw = request.url ?? "/"
      // The URL parser folds `..` away before anyone could refuse it.
      const tricky = /(^|\/|%2f|\\|%5c)(\.|%2e){1,2}(\/|%2f|\\|%5c|\?|$)|%00|\/\//i.test(raw.split("?")[0]!)
      const effect: Effect.Effect<unknown, GoogleError, Store> =
        url === null || tricky
          ? fail("INVALID_ARGUMENT", "The path may not hold empty, `.` or `..` segments.")
          : [...url.searchParams].some((pair) => !pair.every(isStorable))
            ? fail("INVALID_ARGUMENT", "The query holds a zero byte.")
            : url.pathname === "/console/events" && request.method === "GET"
              ? Effect.asVoid(Effect.zipRight(sameMachine(request), guard(request, url)))
              : route(request, url)
      Runtime.runPromiseExit(runtime)(effect).then((exit) => {
        if (Exit.isSuccess(exit)) {
          if (exit.value instanceof Reply) return write(response, exit.value)
          return exit.value === undefined ? events(response) : answer(response, 200, exit.value)
        }
        const failure = Option.getOrUndefined(
          exit.cause._tag === "Fail" ? Option.some(exit.cause.error) : Option.none()
        )
        const error =
          failure ?? new GoogleError({ status: "INTERNAL", message: "The server failed; its log says how." })
        if (failure === undefined) Runtime.runFork(runtime)(Effect.logError("a request failed", exit.cause))
        if (!request.complete) response.setHeader("connection", "close")
        answer(response, error.code, error.body)
      })
    }

    /** What is no HTTP never becomes a request; it is answered all the same. */
    const unreadable = (cause: NodeJS.ErrnoException, socket: Duplex) => {
      if (!socket.writable || cause.code === "ECONNRESET") return void socket.destroy()
      const [status, says] =
        cause.code === "HPE_HEADER_OVERFLOW"
          ? [431, "The request's headers are too large."]
          : cause.code === "ERR_HTTP_REQUEST_TIMEOUT"
            ? [408, "The request did not end in time."]
            : [400, "This is no HTTP request."]
      const text = JSON.stringify({ error: { code: status, status: "INVALID_ARGUMENT", message: says } })
      socket.end(
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
      )
    }

    // A change is many transactions; the page is told at most four times a second.
    let pending: NodeJS.Timeout | undefined
    const off = store.onChange(() => {
      pending ??= setTimeout(() => {
        pending = undefined
        send()
      }, 250)
    })
    // Pods come and go without a transaction.
    const beat = setInterval(send, 2_000)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        off()
        clearTimeout(pending)
        clearInterval(beat)
        for (const stream of streams) stream.end()
      })
    )

    const server = yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>, ToolFailed>((resume) => {
        const made = createServer(
          // A request without Host is refused by us, in Google's form.
          { maxHeaderSize: 16 * 1024, requestTimeout: 60_000, requireHostHeader: false },
          handle
        )
        made.on("clientError", unreadable)
        made.once("error", (error) =>
          resume(
            new ToolFailed({
              message: `The server can't listen on ${ADDRESS}:${options.port}: ${error.message}. Choose another with --port.`
            })
          )
        )
        made.listen(options.port, ADDRESS, () => resume(Effect.succeed(made)))
      }),
      (made) =>
        Effect.sync(() => {
          made.close()
          made.closeAllConnections()
        })
    )
    const at = server.address()
    return typeof at === "object" && at !== null ? at.port : options.port
  })
