/** What the restore drill touches: two databases, and a runner of this image on one of them. Loaded when it is needed. */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Schedule, type Scope } from "effect"
import pg from "pg"
import { CurrentProcess } from "../../domain/CurrentProcess.ts"
import { ExitCode } from "../../domain/ExitCode.ts"
import { RunId, SessionId, TenantId } from "../../domain/Ids.ts"
import { DrillAborted } from "../../drills/Drill.ts"
import type { Ask } from "../../drills/restore/Compare.ts"
import type { RestoreSurroundings } from "../../drills/restore/Restore.ts"
import { connection, fromSecret, type Settings } from "../../gates/Database.ts"
import * as ClusterClient from "../../runtime/ClusterClient.ts"
import * as Database from "../../runtime/Database.ts"
import { Reader, readCluster } from "../../runtime/Settings.ts"
import { told } from "./gateSupport.ts"
import { CliError } from "./Verb.ts"

export interface Options {
  readonly sourceSecret: string
  readonly copySecret: string
  readonly runnerSecret: string
  readonly copyHost: string
  readonly copyPort: string | undefined
  readonly program: string
  readonly address: string
}

const said = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

const ask = (settings: Settings, extra: string): Effect.Effect<Ask, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const pool = new pg.Pool({
          ...connection(settings),
          max: 1,
          // Texts of rows are compared: both sides must write times alike.
          options: `-c timezone=UTC -c datestyle=ISO ${extra}`
        })
        pool.on("error", () => {})
        return pool
      }),
      (pool) => Effect.promise(() => pool.end())
    ),
    (pool): Ask =>
      (text, values) =>
        Effect.tryPromise({
          try: async () => (await pool.query(text, [...values])).rows,
          catch: (cause) =>
            new DrillAborted({
              message: `${settings.host}:${settings.port}/${settings.database}, as ${settings.user}: ${said(cause)}`
            })
        })
  )

/** The Secret as it is for the database, with the copy's address. */
const secretOfCopy = (folder: string, host: string, port: string | undefined) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const own = await mkdtemp(join(tmpdir(), "agents-copy-"))
        await cp(folder, own, { recursive: true, dereference: true, filter: (path) => !/\/\.\.[^/]*$/.test(path) })
        await writeFile(join(own, "host"), `${host}\n`)
        if (port !== undefined) await writeFile(join(own, "port"), `${port}\n`)
        return own
      },
      catch: (cause) =>
        new CliError({
          exitCode: ExitCode.preconditionMissing,
          message: `The Secret in ${folder} can't be read: ${said(cause)}`
        })
    }),
    (own) => Effect.promise(() => rm(own, { recursive: true, force: true }))
  )

/** Ends with SIGTERM, as a pod does, and for sure. */
const startRunner = (options: Options, secret: string, policy: string) => (name: string) =>
  Effect.gen(function* () {
    let output = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const started = spawn(process.execPath, [options.program], {
          // Nothing else of this process's: no key to a model, no collector of traces, nobody who may ask it.
          env: {
            ...Object.fromEntries(
              ["PATH", "SHARDS_PER_GROUP", "SHARD_GROUPS", "MESSAGE_STORAGE", "STEP_ENGINE"].flatMap((key) =>
                process.env[key] === undefined ? [] : [[key, process.env[key]]]
              )
            ),
            POD_NAME: name,
            RUNNER_HOST: options.address,
            LISTEN_HOST: options.address,
            DATABASE_SECRET_DIR: secret,
            TOOL_POLICY_FILE: policy,
            LOG_LEVEL: "Warning"
          },
          stdio: ["ignore", "pipe", "pipe"]
        })
        for (const stream of [started.stdout, started.stderr]) {
          stream.on("data", (chunk) => (output = (output + chunk).slice(-4_000)))
        }
        return started
      }),
      (started) =>
        Effect.async<void>((resume) => {
          if (started.exitCode !== null || started.signalCode !== null) return resume(Effect.void)
          started.once("exit", () => resume(Effect.void))
          started.kill("SIGTERM")
        }).pipe(
          Effect.timeoutOption("30 seconds"),
          Effect.andThen(Effect.sync(() => started.kill("SIGKILL"))),
          Effect.asVoid
        )
    )
    const ended = () => child.exitCode !== null || child.signalCode !== null
    yield* Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(`http://${options.address}:8080/readyz`, {
          signal: AbortSignal.any([signal, AbortSignal.timeout(2_000)])
        })
        if (!response.ok) throw new Error(`it answered ${response.status}: ${(await response.text()).slice(0, 200)}`)
      },
      catch: said
    }).pipe(
      Effect.retry({
        schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo("60 seconds")),
        while: () => !ended()
      }),
      Effect.mapError(
        (why) =>
          new DrillAborted({
            message: `${name} ${ended() ? `ended with ${child.exitCode ?? child.signalCode}` : `is not ready: ${why}`}. It said: ${output.trim().split("\n").slice(-3).join(" | ")}`
          })
      )
    )
  })

export const surroundings = (
  options: Options
): Effect.Effect<Omit<RestoreSurroundings, "asOf">, CliError, Scope.Scope> =>
  Effect.gen(function* () {
    if (!existsSync(options.program)) {
      return yield* new CliError({
        exitCode: ExitCode.preconditionMissing,
        message: `There is no runner at ${options.program}. In the image it lies beside deliver.js; from source, give --program.`
      })
    }
    const copySecret = yield* secretOfCopy(options.copySecret, options.copyHost, options.copyPort)
    const runnerSecret = yield* secretOfCopy(options.runnerSecret, options.copyHost, options.copyPort)
    const source = yield* ask(yield* told(fromSecret(options.sourceSecret)), "-c default_transaction_read_only=on")
    const copy = yield* ask(yield* told(fromSecret(copySecret)), "")
    // Tools that reach something outside would do it a second time, for runs that are carried on elsewhere too.
    const policy = join(runnerSecret, "tool-policy.json")
    yield* Effect.promise(() =>
      writeFile(
        policy,
        JSON.stringify({ default: { tools: ["echo", "add", "wait", "broken", "hold", "calculate", "recall"] } })
      )
    )
    const reader = new Reader({ ...process.env, DATABASE_SECRET_DIR: runnerSecret })
    const cluster = yield* told(
      reader
        .result(readCluster(reader))
        .pipe(Effect.mapError((error) => Object.assign(error, { exitCode: ExitCode.preconditionMissing })))
    )
    const client = ClusterClient.layer(cluster).pipe(
      Layer.provide(Database.layer(cluster.database, { applicationName: "drill-restore", maxConnections: 4 })),
      Layer.provide(Layer.succeed(CurrentProcess, { name: "drill-restore", release: "drill" }))
    )
    const approve: RestoreSurroundings["approve"] = (run) =>
      Effect.flatMap(ClusterClient.AgentClient, (agent) =>
        agent.approve(
          { tenantId: TenantId.make(run.tenantId), sessionId: SessionId.make(run.sessionId) },
          RunId.make(run.runId),
          "drill-restore"
        )
      ).pipe(
        Effect.provide(client),
        Effect.mapError(
          (error) => new DrillAborted({ message: `run ${run.runId} could not be approved in the copy: ${said(error)}` })
        ),
        Effect.asVoid
      )
    return {
      source,
      copy,
      runner: startRunner(options, runnerSecret, policy),
      approve,
      log: (line) => Effect.sync(() => process.stderr.write(`${line}\n`))
    }
  })
