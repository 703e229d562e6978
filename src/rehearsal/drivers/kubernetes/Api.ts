/**
 * The Kubernetes API of one context: `kubectl proxy` on a socket that only this user can open, and HTTP on it.
 *
 * One kubectl for all requests: it signs in once and renews what expires. Errors stay the API server's own Status objects, so
 * they can be explained by field, where kubectl's printed lines would have to be taken apart.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { request as httpRequest, type IncomingMessage } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Data, Effect, Schedule, type Scope } from "effect"
import { DriverFailed } from "../Driver.ts"
import type { Json } from "./Json.ts"

export interface Cause {
  readonly reason?: string
  readonly message?: string
  readonly field?: string
}

export class ApiError extends Data.TaggedError("ApiError")<{
  /** The HTTP status; 0 when no answer came. */
  readonly status: number
  /** `NotFound`, `Invalid`, `Conflict`, … */
  readonly reason: string
  readonly message: string
  readonly causes: ReadonlyArray<Cause>
}> {}

export interface Call {
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE"
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly contentType?: string
}

export interface Resource {
  /** `/apis/apps/v1`. */
  readonly base: string
  /** `statefulsets`. */
  readonly plural: string
  readonly namespaced: boolean
}

export interface Api {
  readonly context: string
  readonly call: (path: string, call?: Call) => Effect.Effect<Json, ApiError>
  readonly text: (path: string, query: Readonly<Record<string, string>>) => Effect.Effect<string, ApiError>
  /** Lines as they come, until the server ends the answer. */
  readonly lines: (
    path: string,
    query: Readonly<Record<string, string>>,
    onLine: (line: string) => void
  ) => Effect.Effect<void, ApiError>
  readonly resource: (apiVersion: string, kind: string) => Effect.Effect<Resource | undefined, ApiError>
}

const START_TIMEOUT = "20 seconds"
/** Of one answer; `lines` has none, since a log lasts as long as its container. */
const ANSWER_TIMEOUT_MS = 60_000
/** Reading again harms nothing. An API server that restarts is back within seconds. */
const readAgain = Schedule.spaced("500 millis").pipe(Schedule.intersect(Schedule.recurs(20)))

const unreachable = (message: string) => new ApiError({ status: 0, reason: "Unreachable", message, causes: [] })

const failureOf = (status: number, text: string): ApiError => {
  try {
    const body = JSON.parse(text) as {
      readonly reason?: string
      readonly message?: string
      readonly details?: { readonly causes?: ReadonlyArray<Cause> }
    }
    return new ApiError({
      status,
      reason: body.reason ?? "",
      message: body.message ?? text,
      causes: body.details?.causes ?? []
    })
  } catch {
    return new ApiError({ status, reason: "", message: text.trim(), causes: [] })
  }
}

export const open = (context: string): Effect.Effect<Api, DriverFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "deliver-kubectl-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const socketPath = join(folder, "api")
    let said = ""
    yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof spawn>, DriverFailed>((resume) => {
        const child = spawn("kubectl", ["--context", context, "proxy", `--unix-socket=${socketPath}`], {
          // A group of its own: a terminal's Ctrl-C goes to the whole group, and what is to be cleaned up is asked for through it.
          detached: true,
          stdio: ["ignore", "pipe", "pipe"]
        })
        const failed = (why: string) =>
          resume(
            new DriverFailed({
              message: `kubectl could not open a way to the cluster of context "${context}": ${why}${said}`
            })
          )
        child.stderr?.on("data", (data: Buffer) => {
          said = (said + data.toString()).slice(-2000)
        })
        child.stdout?.on("data", (data: Buffer) => {
          if (data.toString().includes("Starting to serve")) resume(Effect.succeed(child))
        })
        child.once("error", (error) => failed(`${error.message} `))
        child.once("exit", (code) => failed(`it ended with ${code}. `))
      }).pipe(
        Effect.timeoutFail({
          duration: START_TIMEOUT,
          onTimeout: () =>
            new DriverFailed({
              message: `"kubectl proxy" of context "${context}" did not start within ${START_TIMEOUT}.`
            })
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )

    const open = (path: string, call: Call, timeoutMs: number) =>
      Effect.async<IncomingMessage, ApiError>((resume) => {
        const query = new URLSearchParams(call.query).toString()
        const body = call.body === undefined ? undefined : JSON.stringify(call.body)
        const outgoing = httpRequest(
          {
            socketPath,
            path: query === "" ? path : `${path}?${query}`,
            method: call.method ?? "GET",
            // Node sends a DELETE's body without its length unless told, and the server then reads none.
            headers:
              body === undefined
                ? {}
                : {
                    "content-type": call.contentType ?? "application/json",
                    "content-length": Buffer.byteLength(body)
                  },
            ...(timeoutMs === 0 ? {} : { timeout: timeoutMs })
          },
          (response) => resume(Effect.succeed(response))
        )
        outgoing.once("timeout", () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
        outgoing.once("error", (error) => resume(unreachable(`${path}: ${error.message}. ${said}`.trim())))
        outgoing.end(body)
        return Effect.sync(() => outgoing.destroy())
      })

    const whole = (response: IncomingMessage) =>
      Effect.async<string, ApiError>((resume) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.once("error", (error) => resume(unreachable(error.message)))
        response.once("end", () => resume(Effect.succeed(Buffer.concat(chunks).toString("utf8"))))
        return Effect.sync(() => response.destroy())
      })

    const once = (path: string, call: Call) =>
      Effect.gen(function* () {
        const response = yield* open(path, call, ANSWER_TIMEOUT_MS)
        const text = yield* whole(response)
        const status = response.statusCode ?? 0
        // kubectl proxy answers 502 where the API server gave no answer.
        if (status === 502 || status === 503) return yield* unreachable(`${path}: ${text.trim()} ${said}`.trim())
        return status < 300 ? text : yield* failureOf(status, text)
      }).pipe(
        Effect.retry({
          schedule: readAgain,
          while: (error) => error.status === 0 && (call.method ?? "GET") === "GET"
        })
      )

    const call: Api["call"] = (path, options = {}) =>
      Effect.map(once(path, options), (text) => (text === "" ? {} : (JSON.parse(text) as Json)))

    const known = new Map<string, ReadonlyMap<string, Resource>>()
    return {
      context,
      call,
      text: (path, query) => once(path, { query }),
      lines: (path, query, onLine) =>
        Effect.gen(function* () {
          const response = yield* open(path, { query }, 0)
          if ((response.statusCode ?? 0) >= 300) {
            return yield* failureOf(response.statusCode ?? 0, yield* whole(response))
          }
          yield* Effect.async<void, ApiError>((resume) => {
            let rest = ""
            response.setEncoding("utf8")
            response.on("data", (text: string) => {
              const parts = (rest + text).split("\n")
              rest = parts.pop() ?? ""
              for (const line of parts) onLine(line)
            })
            response.once("error", (error) => resume(unreachable(error.message)))
            response.once("end", () => {
              if (rest !== "") onLine(rest)
              resume(Effect.void)
            })
            return Effect.sync(() => response.destroy())
          })
        }),
      resource: (apiVersion, kind) =>
        Effect.gen(function* () {
          const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`
          const there = known.get(base)
          if (there !== undefined) return there.get(kind)
          const list = yield* call(base).pipe(
            Effect.catchIf(
              (error) => error.status === 404,
              () => Effect.succeed({ resources: [] } as unknown as Json)
            )
          )
          const resources = (list["resources"] ?? []) as ReadonlyArray<{
            readonly name: string
            readonly kind: string
            readonly namespaced: boolean
          }>
          const made = new Map(
            resources
              // `pods/log` is no kind of its own.
              .filter(({ name }) => !name.includes("/"))
              .map(({ name, kind: of, namespaced }) => [of, { base, plural: name, namespaced }] as const)
          )
          known.set(base, made)
          return made.get(kind)
        })
    }
  })

export const pathOf = (resource: Resource, namespace: string, name?: string): string =>
  [
    resource.base,
    ...(resource.namespaced ? [`namespaces/${namespace}`] : []),
    resource.plural,
    ...(name === undefined ? [] : [encodeURIComponent(name)])
  ].join("/")
