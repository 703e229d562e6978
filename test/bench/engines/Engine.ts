/** What `make bench` measures. An engine is a driver process, and the workers that it needs. */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { databaseSecret } from "../../support/pods.ts"
import type { World } from "../world.ts"

export interface Measured {
  readonly completed: number
  readonly seconds: number
  readonly latenciesMs: ReadonlyArray<number>
}

export interface Running {
  readonly run: (inFlight: number, seconds: number) => Effect.Effect<Measured, Error>
  readonly driver: number
  readonly workers: ReadonlyArray<number>
}

export interface Engine {
  readonly name: string
  /** Of its own in the server. */
  readonly database: string
  readonly prepare: (world: World) => Effect.Effect<string>
  /** Succeeds when a first workflow is done. */
  readonly start: (world: World, url: string) => Effect.Effect<Running, Error, Scope.Scope>
}

/** Connections of each process to the database. */
const POOL = "10"

const start = (file: string, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(
        process.execPath,
        ["--disable-warning=ExperimentalWarning", fileURLToPath(new URL(file, import.meta.url))],
        {
          env: { PATH: process.env["PATH"], DATABASE_POOL_MAX: POOL, ...env },
          stdio: ["ignore", "inherit", "inherit", "ipc"]
        }
      )
    ),
    (child) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
  )

const answer = <A>(child: ChildProcess) =>
  Effect.async<A, Error>((resume) => {
    const done = (message: unknown) => {
      child.off("exit", failed)
      resume(Effect.succeed(message as A))
    }
    const failed = (code: number | null) => resume(Effect.fail(new Error(`The driver ended with ${code}.`)))
    child.once("message", done)
    child.once("exit", failed)
  })

const drive = (file: string, env: Readonly<Record<string, string>>, workers: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const child = yield* start(file, env)
    yield* answer(child)
    return {
      driver: child.pid ?? -1,
      workers,
      run: (inFlight, seconds) =>
        Effect.suspend(() => {
          child.send({ inFlight, seconds })
          return answer<Measured>(child)
        })
    } satisfies Running
  })

/** Our runtime. `runners` of 0: client and runner in one process. `env` is that of the runners. */
export const ours = (options: {
  readonly name: string
  readonly database: string
  readonly runners: number
  readonly env?: Readonly<Record<string, string>>
}): Engine => ({
  name: options.name,
  database: options.database,
  prepare: ({ migratedDatabase }) => migratedDatabase(options.database),
  start: ({ subnet }, url) =>
    Effect.gen(function* () {
      const secret = yield* databaseSecret(url)
      const env = (ordinal: number) => ({
        POD_NAME: `bench-${ordinal}`,
        RUNNER_HOST: subnet.address(10 + ordinal),
        LISTEN_HOST: subnet.address(10 + ordinal),
        DATABASE_SECRET_DIR: secret,
        ...options.env
      })
      const workers = yield* Effect.forEach(Array.from({ length: options.runners }), (_, ordinal) =>
        start("./effect.ts", { ...env(ordinal), ROLE: "worker" })
      )
      return yield* drive(
        "./effect.ts",
        { ...env(99), ROLE: options.runners === 0 ? "local" : "client" },
        workers.map(({ pid }) => pid ?? -1)
      )
    })
})

export const dbos: Engine = {
  name: "DBOS 5.3, one process",
  database: "dbos",
  prepare: ({ emptyDatabase }) => emptyDatabase("dbos"),
  start: (_, url) => drive("../dbos/driver.mjs", { DATABASE_URL: url }, [])
}
