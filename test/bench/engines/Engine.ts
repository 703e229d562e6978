/** What `make bench` measures. An engine is a driver process, and the workers that it needs. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { databaseSecret } from "../../support/pods.ts"
import type { World } from "../world.ts"

/** What is asked of a driver: workflows of so many steps, whose start and steps carry so many bytes each. */
export interface Load {
  readonly inFlight: number
  readonly steps: number
  readonly bytes: number
}

export interface Measured {
  readonly completed: number
  readonly seconds: number
  readonly latenciesMs: ReadonlyArray<number>
  /** In ms since 1970, where that was asked for. */
  readonly endedAt?: ReadonlyArray<number>
  /** Bytes, and ms of collections, of the driver's process; where its engine was made with `GC`. */
  readonly allocated?: number
  readonly gcMs?: number
  /** Bytes that the functions of each package allocated in the driver's process; where its engine was made with `ALLOCATIONS`. */
  readonly byPackage?: Readonly<Record<string, number>>
  /** The same by function, most first. */
  readonly byFunction?: ReadonlyArray<readonly [string, number]>
}

export interface Running {
  /** `times`: whether it answers when each workflow ended. */
  readonly run: (load: Load & { readonly times?: boolean }, seconds: number) => Effect.Effect<Measured, Error>
  readonly driver: number
  readonly workers: ReadonlyArray<number>
  /** The process that stores, where it is not Postgres. */
  readonly server?: number
}

export interface Engine {
  readonly name: string
  /** Of its own in the server; an engine with a store of its own has none. */
  readonly database: string | undefined
  readonly prepare: (world: World) => Effect.Effect<string>
  /** Succeeds when a first workflow is done. */
  readonly start: (world: World, url: string) => Effect.Effect<Running, Error, Scope.Scope>
}

/** Connections of each process to the database. */
const POOL = "10"

const ENDS_WITHIN = 10_000
/** As `k8s/base/runner` has it; every engine's Node processes get the same. */
const NODE_OPTIONS = "--max-semi-space-size=32"

const start = (file: string, env: Readonly<Record<string, string>>) =>
  started(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", fileURLToPath(new URL(file, import.meta.url))],
    {
      DATABASE_POOL_MAX: POOL,
      ...env,
      // What the bench itself was given goes on to them, so that each process can be profiled.
      NODE_OPTIONS: `${env["NODE_OPTIONS"] ?? NODE_OPTIONS} ${process.env["NODE_OPTIONS"] ?? ""}`.trim()
    },
    "ipc"
  )

const started = (
  program: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  channel: "ipc" | "ignore"
) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(program, args, {
        env: { PATH: process.env["PATH"], ...env },
        stdio: ["ignore", "inherit", "inherit", channel]
      })
    ),
    (child) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        const late = setTimeout(() => child.kill("SIGKILL"), ENDS_WITHIN)
        child.once("exit", () => {
          clearTimeout(late)
          resume(Effect.void)
        })
        // Ours end by themselves then: what is killed writes no profile.
        if (child.connected) child.disconnect()
        else child.kill("SIGKILL")
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
      run: (load, seconds) =>
        Effect.suspend(() => {
          child.send({ ...load, seconds })
          return answer<Measured>(child)
        })
    } satisfies Running
  })

/**
 * Our runtime. `runners` of 0: client and runner in one process. `env` is that of its processes. `fill` is run as the database's
 * owner before the first start.
 */
export const ours = (options: {
  readonly name: string
  readonly database: string
  readonly runners: number
  readonly env?: Readonly<Record<string, string>>
  readonly fill?: ReadonlyArray<string>
}): Engine => ({
  name: options.name,
  database: options.database,
  prepare: ({ migratedDatabase, within }) =>
    Effect.zipLeft(
      migratedDatabase(options.database),
      options.fill === undefined ? Effect.void : within(options.database, ...options.fill)
    ),
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

export const dbosLocal: Engine = {
  name: "DBOS 5.3, one process",
  database: "dbos_local",
  prepare: ({ emptyDatabase }) => emptyDatabase("dbos_local"),
  start: (_, url) => drive("../dbos/local.mjs", { DATABASE_URL: url }, [])
}

export const dbosRemote: Engine = {
  name: "DBOS 5.3, client and worker, 50 ms polls",
  database: "dbos_remote",
  prepare: ({ emptyDatabase }) => emptyDatabase("dbos_remote"),
  start: (_, url) =>
    Effect.gen(function* () {
      const worker = yield* start("../dbos/worker.mjs", { DATABASE_URL: url })
      // It makes the tables.
      yield* answer(worker)
      return yield* drive("../dbos/client.mjs", { DATABASE_URL: url }, [worker.pid ?? -1])
    })
}

/** Where npm puts it; there is none for some processors. */
const restateServer = fileURLToPath(
  new URL(
    `../restate/node_modules/@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`,
    import.meta.url
  )
)
export const restateIsThere = existsSync(restateServer)

/** A server with its own log (fsync, as it comes), a worker that it calls, and a client. */
export const restate: Engine = {
  name: "Restate 1.7, server, worker and client",
  database: undefined,
  prepare: () => Effect.succeed(""),
  start: ({ subnet }) =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "agents-bench-restate-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
      )
      const at = (port: number) => `${subnet.address(90)}:${port}`
      const [fabric, ingress, admin, worker] = [at(5122), at(8080), at(9070), at(9080)]
      const server = yield* started(
        restateServer,
        [],
        {
          HOME: folder,
          RESTATE_BASE_DIR: folder,
          RESTATE_NODE_NAME: "bench",
          RESTATE_LISTEN_MODE: "tcp",
          RESTATE_BIND_ADDRESS: fabric,
          RESTATE_ADVERTISED_ADDRESS: `http://${fabric}`,
          RESTATE_INGRESS__BIND_ADDRESS: ingress,
          RESTATE_ADMIN__BIND_ADDRESS: admin,
          RESTATE_DISABLE_TELEMETRY: "true",
          DO_NOT_TRACK: "1",
          RUST_LOG: "off"
        },
        "ignore"
      )
      const service = yield* start("../restate/service.mjs", { ADDRESS: worker })
      const running = yield* drive("../restate/driver.mjs", { INGRESS: ingress, ADMIN: admin, WORKER: worker }, [
        service.pid ?? -1
      ])
      return { ...running, server: server.pid ?? -1 }
    })
}
