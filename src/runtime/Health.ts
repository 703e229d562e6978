/**
 * What Kubernetes asks a runner, and what is measured of it.
 *
 * `/healthz`  the process is alive. Never asks the database: a restart of the pod would not bring that back.
 * `/readyz`   the database answers, the migrations that this release needs are there, the runner is on the ring, and it is
 *             not stopping. Shards held are not asked for: a runner gets them because it is ready to, not the other way round,
 *             and gating on them stopped a whole StatefulSet in an experiment.
 * `/metrics`  Prometheus text.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { RunnerStorage, type Runners, ShardId, Sharding, ShardingConfig } from "@effect/cluster"
import { SqlClient } from "@effect/sql/SqlClient"
import { Data, Effect, Equal, Layer, Option, Runtime, Schedule } from "effect"
import { neededMigrations } from "./ImageRoot.ts"
import { Lifecycle } from "./Lifecycle.ts"
import { render } from "./Prometheus.ts"
import { appliedMigrations, openRuns } from "./statements.ts"

/** Shorter than the probe's own limit, so that the answer says what is wrong instead of timing out. */
const CHECK_TIMEOUT = "2 seconds"

export class HealthServerFailed extends Data.TaggedError("HealthServerFailed")<{ readonly message: string }> {}

/** Answers why the process isn't ready; `undefined` when it is. */
export type Readiness = Effect.Effect<string | undefined>

/** What is asked in turn; the first that has a complaint ends it. */
const firstComplaint = (checks: ReadonlyArray<Readiness>): Readiness =>
  Effect.reduce(checks, undefined as string | undefined, (complaint, check) =>
    complaint === undefined ? check : Effect.succeed(complaint)
  )

const phase = Effect.map(
  Effect.flatMap(Lifecycle, ({ phase }) => phase),
  (phase) => (phase === "serving" ? undefined : phase)
)

/** Asks the database, and which migrations it has. Of use to every process with a database. */
export const databaseReady: Effect.Effect<Readiness, never, SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient
  const needed = neededMigrations()
  return appliedMigrations.run().pipe(
    Effect.provideService(SqlClient, sql),
    Effect.timeout(CHECK_TIMEOUT),
    Effect.map((rows) => {
      const applied = new Set(rows.map(({ name }) => name))
      const missing = needed.filter((name) => !applied.has(name))
      return missing.length === 0 ? undefined : `migrations are missing: ${missing.join(", ")}`
    }),
    Effect.catchAllCause(() => Effect.succeed("the database does not answer"))
  )
})

const onRing: Effect.Effect<Readiness, never, RunnerStorage.RunnerStorage | ShardingConfig.ShardingConfig> = Effect.gen(
  function* () {
    const storage = yield* RunnerStorage.RunnerStorage
    const { runnerAddress } = yield* ShardingConfig.ShardingConfig
    return storage.getRunners.pipe(
      Effect.timeout(CHECK_TIMEOUT),
      Effect.map((runners) =>
        runners.some(([runner, healthy]) => healthy && Equal.equals(Option.some(runner.address), runnerAddress))
          ? undefined
          : "the runner is not on the ring"
      ),
      Effect.catchAllCause(() => Effect.succeed("the list of runners can't be read"))
    )
  }
)

const shardsHeld = Effect.gen(function* () {
  const sharding = yield* Sharding.Sharding
  const { availableShardGroups, shardsPerGroup } = yield* ShardingConfig.ShardingConfig
  const shards = availableShardGroups.flatMap((group) =>
    Array.from({ length: shardsPerGroup }, (_, index) => ShardId.make(group, index + 1))
  )
  return () => shards.reduce((held, shard) => held + (sharding.hasShardId(shard) ? 1 : 0), 0)
})

type Answer = Effect.Effect<{ readonly status: number; readonly body: string }>

/** A small HTTP server: three paths, no body to read, nothing to log. */
const serve = (host: string, port: number, paths: Readonly<Record<string, Answer>>) =>
  Effect.gen(function* () {
    const run = Runtime.runPromise(yield* Effect.runtime<never>())
    const handler = (request: IncomingMessage, response: ServerResponse) => {
      const answer = paths[(request.url ?? "").split("?")[0] ?? ""]
      void run(answer ?? Effect.succeed({ status: 404, body: "not found\n" })).then(({ status, body }) => {
        response.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(body)
      })
    }
    yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>, HealthServerFailed>((resume) => {
        const server = createServer(handler)
        server.once("error", (error) =>
          resume(
            new HealthServerFailed({
              message: `The health server can't listen on ${host}:${port}: ${error.message}. Is HTTP_PORT taken, or LISTEN_HOST not ours?`
            })
          )
        )
        server.listen(port, host, () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
  })

const gauge = (name: string, help: string, value: number, status?: string) =>
  status === undefined || status === "accepted"
    ? `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${sample(name, value, status)}`
    : sample(name, value, status)

const sample = (name: string, value: number, status: string | undefined) =>
  `${name}${status === undefined ? "" : `{status="${status}"}`} ${value}\n`

/** Of the whole database, whichever runner is asked. Absent while the database does not answer. */
const openRunsNow = Effect.gen(function* () {
  const sql = yield* SqlClient
  return openRuns.run().pipe(
    Effect.provideService(SqlClient, sql),
    Effect.timeout(CHECK_TIMEOUT),
    Effect.map((rows) => {
      const both = ["accepted", "waiting"].map((status) => ({
        status,
        row: rows.find((each) => each.status === status) ?? { runs: 0, oldestSeconds: 0 }
      }))
      return [
        ...both.map(({ row, status }) =>
          gauge("agents_open_runs", "Runs that have not ended, by status.", row.runs, status)
        ),
        ...both.map(({ row, status }) =>
          gauge("agents_oldest_open_run_seconds", "Age of the oldest of them.", row.oldestSeconds, status)
        )
      ]
    }),
    Effect.catchAllCause(() => Effect.succeed<ReadonlyArray<string>>([]))
  )
})

/** Serves the three paths of a runner until the scope closes. */
export const runner = (options: {
  readonly host: string
  readonly port: number
}): Layer.Layer<
  never,
  HealthServerFailed,
  | Lifecycle
  | SqlClient
  | Sharding.Sharding
  | Runners.Runners
  | RunnerStorage.RunnerStorage
  | ShardingConfig.ShardingConfig
> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const lifecycle = yield* Lifecycle
      const sharding = yield* Sharding.Sharding
      const held = yield* shardsHeld
      const open = yield* openRunsNow
      const complaint = firstComplaint([
        Effect.provideService(phase, Lifecycle, lifecycle),
        yield* databaseReady,
        yield* onRing
      ])
      let firstShardsSeconds = Number.NaN
      yield* Effect.suspend(() => (held() > 0 ? Effect.void : Effect.fail("none yet"))).pipe(
        Effect.retry(Schedule.spaced("10 millis")),
        Effect.andThen(Effect.sync(() => (firstShardsSeconds = performance.now() / 1000))),
        Effect.andThen(
          Effect.suspend(() => Effect.logInfo(`Shards held ${firstShardsSeconds.toFixed(2)} s after process start`))
        ),
        Effect.forkScoped
      )
      yield* serve(options.host, options.port, {
        "/healthz": Effect.succeed({ status: 200, body: "alive\n" }),
        "/readyz": Effect.map(complaint, (why) =>
          why === undefined ? { status: 200, body: "ready\n" } : { status: 503, body: `${why}\n` }
        ),
        "/metrics": Effect.map(Effect.all([sharding.activeEntityCount, open]), ([entities, openNow]) => ({
          status: 200,
          body: [
            gauge("agents_shards_held", "Shards that this runner holds.", held()),
            gauge("agents_first_shards_seconds", "From process start to the first shards.", firstShardsSeconds),
            gauge("agents_active_entities", "Entities and executions in memory.", entities),
            gauge(
              "process_cpu_seconds",
              "CPU time used.",
              Object.values(process.cpuUsage()).reduce((a, b) => a + b) / 1e6
            ),
            gauge("process_resident_memory_bytes", "Memory in use.", process.memoryUsage.rss()),
            ...openNow,
            render()
          ].join("")
        }))
      })
    })
  )
