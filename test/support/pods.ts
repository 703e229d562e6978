/** Real processes of the system, as pods would run them, on loopback addresses of their own. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import type { TestImage } from "./image.ts"
import { type NeverHappened, until } from "./wait.ts"

/** A mounted Secret: a folder with a file for each value. */
export const databaseSecret = (url: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const folder = await mkdtemp(join(tmpdir(), "agents-secret-"))
      const { hostname, port, pathname, username, password } = new URL(url)
      const values = { host: hostname, port, database: pathname.slice(1), username, password }
      for (const [name, value] of Object.entries(values)) await writeFile(join(folder, name), `${value}\n`)
      return folder
    }),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )

export interface TestPod {
  readonly name: string
  readonly address: string
  readonly pid: number
  /** All that it printed so far. */
  readonly output: () => string
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for the end; `null` is an end by a signal. */
  readonly exit: Effect.Effect<number | null>
  readonly get: (path: string) => Effect.Effect<{ readonly status: number; readonly body: string }, unknown>
  readonly ready: Effect.Effect<void, NeverHappened>
  readonly metric: (name: string) => Effect.Effect<number, unknown>
}

const HTTP_PORT = 8080

/** Starts a program of an image. Killed at the latest when the scope closes. */
export const startPod = (options: {
  readonly image: TestImage
  /** `runner`, `gateway`: the bundle's name. */
  readonly program: string
  readonly name: string
  readonly address: string
  readonly env: Readonly<Record<string, string>>
}): Effect.Effect<TestPod, never, Scope.Scope> =>
  Effect.gen(function* () {
    let output = ""
    const child: ChildProcess = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const started = spawn(process.execPath, [join(options.image.folder, `${options.program}.js`)], {
          env: {
            PATH: process.env["PATH"],
            POD_NAME: options.name,
            RUNNER_HOST: options.address,
            LISTEN_HOST: options.address,
            ...options.env
          },
          stdio: ["ignore", "pipe", "pipe"]
        })
        started.stdout?.on("data", (chunk) => (output += chunk))
        started.stderr?.on("data", (chunk) => (output += chunk))
        return started
      }),
      (started) => Effect.sync(() => started.kill("SIGKILL"))
    )
    const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)))
    const get = (path: string) =>
      Effect.tryPromise(async (signal) => {
        const response = await fetch(`http://${options.address}:${HTTP_PORT}${path}`, { signal })
        return { status: response.status, body: await response.text() }
      }).pipe(Effect.timeout("3 seconds"))
    return {
      name: options.name,
      address: options.address,
      pid: child.pid ?? -1,
      output: () => output,
      signal: (signal) => Effect.sync(() => child.kill(signal)),
      exit: Effect.promise(() => ended),
      get,
      ready: Effect.suspend(() =>
        until(`${options.name} ready`, get("/readyz"), ({ status }) => status === 200, "60 seconds")
      ).pipe(
        Effect.tapError(() => Effect.sync(() => process.stderr.write(output))),
        Effect.asVoid
      ),
      metric: (name) =>
        Effect.map(get("/metrics"), ({ body }) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(body)?.[1]))
    }
  })
