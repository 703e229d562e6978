/**
 * Answers a gate of another release: could this one carry what the database holds now? (`domain/CarryQuestion.ts`)
 *
 * The runner itself judges nothing: it starts the gate of its own image, in a process of its own with a small heap and the
 * lowest priority, so that a hundred thousand executions to replay take neither its memory nor its turn. One at a time, each
 * with an end; callers sign in with a token of the gate's service account, and every other request costs next to nothing.
 */
import { spawn } from "node:child_process"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { constants, setPriority } from "node:os"
import { Data, Duration, Effect, Layer, Runtime } from "effect"
import { type Answer, PATH } from "../domain/CarryQuestion.ts"

export class CarryServerFailed extends Data.TaggedError("CarryServerFailed")<{ readonly message: string }> {}

/** Below the deadline of the hook that asks. */
const LIMIT = Duration.minutes(3)
const HEAP_MB = 256
const OUTPUT_BYTES = 8 * 1024 * 1024
const CONNECTIONS = 8
const VERDICTS = [0, 10, 11]

export interface CarryOptions {
  readonly host: string
  readonly port: number
  readonly release: string
  /** Whose token it is. Fails when it is none that can be believed. */
  readonly caller: (token: string) => Effect.Effect<string, { readonly _tag: string }>
  /** E-mails of the accounts that may ask. */
  readonly callers: ReadonlyArray<string>
  /** The gate of this image: a script and its arguments. */
  readonly gate: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly limit?: Duration.DurationInput
  /** Called with the port, which is another one than asked for when that was 0. */
  readonly listening?: (port: number) => void
}

interface Said {
  readonly status: number
  readonly body: string
}

const said = (status: number, body: string): Said => ({ status, body: `${body}\n` })

/** Runs the image's gate to its end, or ends it. */
const judged = ({ gate, env, release, limit }: CarryOptions): Effect.Effect<Said> =>
  Effect.async<Said>((resume) => {
    const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MB}`, ...gate], {
      // As a pod it would log among its output, and as a hook it would be taken for one.
      env: { ...env, POD_NAME: undefined, CLOUD_DEPLOY_RELEASE: undefined },
      stdio: ["ignore", "pipe", "pipe"]
    })
    if (child.pid !== undefined) {
      try {
        setPriority(child.pid, constants.priority.PRIORITY_LOW)
      } catch {
        // It has ended already.
      }
    }
    const out: Array<Buffer> = []
    let size = 0
    let err = ""
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size > OUTPUT_BYTES) child.kill("SIGKILL")
      else out.push(chunk)
    })
    child.stderr.on("data", (chunk: Buffer) => {
      err = `${err}${chunk}`.slice(-2_000)
    })
    child.once("error", (error) => resume(Effect.succeed(said(503, `The gate can't be started: ${error.message}`))))
    child.once("close", (code) => {
      let evidence: unknown
      try {
        evidence = JSON.parse(Buffer.concat(out).toString("utf8")) as unknown
      } catch {
        evidence = undefined
      }
      if (code === null || !VERDICTS.includes(code) || evidence === undefined) {
        const words = err.trim().split("\n").slice(-3).join(" ")
        return resume(Effect.succeed(said(503, `No verdict (exit code ${code}): ${words}`)))
      }
      const answer: Answer = { release, exitCode: code, evidence }
      resume(Effect.succeed(said(200, JSON.stringify(answer))))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(
    Effect.timeoutTo({
      duration: limit ?? LIMIT,
      onSuccess: (answer) => answer,
      onTimeout: () => said(503, `No verdict within ${Duration.format(limit ?? LIMIT)}`)
    })
  )

const BEARER = /^Bearer (\S{1,8192})$/

export const layer = (options: CarryOptions): Layer.Layer<never, CarryServerFailed> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const run = Runtime.runPromise(yield* Effect.runtime<never>())
      let busy = false
      const idle = Effect.sync(() => {
        busy = false
      })

      const answer = (request: IncomingMessage): Effect.Effect<Said> =>
        Effect.gen(function* () {
          if (request.method !== "POST" || request.url !== PATH) return said(404, "not found")
          const token = BEARER.exec(request.headers.authorization ?? "")?.[1]
          if (token === undefined) return said(401, "A token of the gate's account is needed.")
          const caller = yield* Effect.either(options.caller(token))
          if (caller._tag === "Left") return said(401, "A token of the gate's account is needed.")
          if (!options.callers.includes(caller.right)) return said(403, "This account may not ask.")
          if (busy) return said(429, "Another gate is being answered.")
          busy = true
          return yield* judged(options).pipe(Effect.ensuring(idle))
        })

      const handler = (request: IncomingMessage, response: ServerResponse) => {
        request.resume()
        const gone = new AbortController()
        response.once("close", () => gone.abort())
        void run(answer(request), { signal: gone.signal }).then(
          ({ status, body }) => response.writeHead(status, { "content-type": "application/json" }).end(body),
          // Whoever asked has gone; the gate was ended with it.
          () => response.destroy()
        )
      }
      yield* Effect.acquireRelease(
        Effect.async<Server, CarryServerFailed>((resume) => {
          const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 10_000 }, handler)
          server.maxConnections = CONNECTIONS
          server.once("error", (error) =>
            resume(
              new CarryServerFailed({
                message: `The gates' port ${options.host}:${options.port} can't be opened: ${error.message}. Is ASK_PORT taken?`
              })
            )
          )
          server.listen(options.port, options.host, () => {
            const at = server.address()
            if (at !== null && typeof at === "object") options.listening?.(at.port)
            resume(Effect.succeed(server))
          })
        }),
        (server) =>
          Effect.async<void>((resume) => {
            server.close(() => resume(Effect.void))
            server.closeAllConnections()
          })
      )
    })
  )
