/** What a schedule is played on: a Postgres server, runners that come back as a StatefulSet's pods do, and one client. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Exit, Layer, Logger, LogLevel, Schedule, Scope } from "effect"
import pg from "pg"
import { CurrentProcess } from "../../src/domain/CurrentProcess.ts"
import { EventStore } from "../../src/events/EventStore.ts"
import { Feed } from "../../src/events/Feed.ts"
import { claimSubnet, type Subnet } from "../../src/rehearsal/net/Loopback.ts"
import * as EmbeddedPostgres from "../../src/rehearsal/postgres/EmbeddedPostgres.ts"
import * as ClusterClient from "../../src/runtime/ClusterClient.ts"
import * as Database from "../../src/runtime/Database.ts"
import type { StepEngineKind } from "../../src/runtime/Engine.ts"
import { databaseFromUrl } from "../../src/runtime/Settings.ts"
import type { TestImage } from "../support/image.ts"
import { messageStorage, stepEngine } from "../support/message-storage.ts"
import { makeRoles, migrate, urlAs } from "../support/migrate.ts"
import { databaseSecret, startPod, type TestPod } from "../support/pods.ts"
import { sharding } from "../support/sharding.ts"
import { until } from "../support/wait.ts"
import { type Link, link } from "./Link.ts"
import * as Owners from "./Owners.ts"
import type { Fault } from "./Scenario.ts"

const DATABASE = "chaos"

export interface Fleet {
  /** Asks the database as its superuser; waits out a restart. */
  readonly query: <Row extends object>(text: string, values?: ReadonlyArray<unknown>) => Effect.Effect<Array<Row>>
  readonly client: Layer.Layer<ClusterClient.AgentClient | EventStore | Feed | SqlClient>
  readonly strike: (fault: Fault) => Effect.Effect<void>
  /** Wakes what is frozen, starts what is down, and waits until all runners are ready. Answers which never were. */
  readonly heal: Effect.Effect<ReadonlyArray<string>>
  /** How another process finds the database, and addresses that are free from `.200` on. */
  readonly runtimeUrl: string
  readonly subnet: Subnet
  /** What the runners printed so far, those that are gone included. */
  readonly output: () => string
}

interface Slot {
  pod: TestPod | undefined
  readonly address: string
  /** Between it and Postgres. */
  readonly link: Link
  /** Closed while the runner is to stay down. */
  readonly mayRun: Effect.Latch
}

export const fleet = (options: {
  readonly image: TestImage
  readonly runners: number
  readonly engine?: StepEngineKind
}): Effect.Effect<Fleet, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "agents-chaos-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
    )
    const subnet = yield* Effect.orDie(claimSubnet)
    const server = yield* EmbeddedPostgres.start({
      dataDir: join(folder, "data"),
      host: subnet.address(2),
      port: 5432,
      fsync: false,
      // The server is killed, not the machine: what is written reaches the files, but a commit must not wait in memory.
      settings: ["synchronous_commit=on", "full_page_writes=on"]
    }).pipe(Effect.orDie)
    yield* makeRoles(server.url("postgres"))

    const pool = new pg.Pool({ connectionString: server.url("postgres"), max: 1 })
    pool.on("error", () => {})
    yield* Effect.promise(() => pool.query(`create database ${DATABASE} owner migrator`))
    yield* Effect.promise(() => pool.end())
    yield* migrate(urlAs(server.url(DATABASE), "migrator"))

    const watcher = new pg.Pool({ connectionString: server.url(DATABASE), max: 3 })
    watcher.on("error", () => {})
    yield* Effect.addFinalizer(() => Effect.promise(() => watcher.end()))
    const query = <Row extends object>(text: string, values: ReadonlyArray<unknown> = []) =>
      Effect.tryPromise(async () => (await watcher.query<Row>(text, [...values])).rows).pipe(
        Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo("60 seconds"))),
        Effect.orDie
      )
    yield* query(Owners.witness)

    const runtimeUrl = urlAs(server.url(DATABASE), "runtime")
    const through = ({ host }: Link) => {
      const url = new URL(runtimeUrl)
      url.hostname = host
      return url.href
    }
    const target = { host: subnet.address(2), port: 5432 }
    const clientLink = yield* link({ host: subnet.address(9), target })
    const gone: Array<string> = []
    const slots = yield* Effect.forEach(
      Array.from({ length: options.runners }, (_, index) => index),
      (index) =>
        Effect.gen(function* () {
          const own = yield* link({ host: subnet.address(100 + index), target })
          const secret = yield* databaseSecret(through(own))
          const slot: Slot = {
            pod: undefined,
            address: subnet.address(10 + index),
            link: own,
            mayRun: yield* Effect.makeLatch(true)
          }
          yield* Effect.gen(function* () {
            yield* slot.mayRun.await
            const scope = yield* Scope.make()
            const pod = yield* startPod({
              image: options.image,
              program: "runner",
              name: `effect-agent-runtime-${index}`,
              address: slot.address,
              env: {
                DATABASE_SECRET_DIR: secret,
                MESSAGE_STORAGE: messageStorage,
                STEP_ENGINE: options.engine ?? stepEngine,
                LOG_LEVEL: process.env["CHAOS_LOG_LEVEL"] ?? "Info"
              }
            }).pipe(Scope.extend(scope))
            slot.pod = pod
            yield* pod.exit.pipe(
              Effect.tap((code) => Effect.sync(() => gone.push(`--- ${pod.name} ended (${code})\n${pod.output()}`))),
              Effect.ensuring(Scope.close(scope, Exit.void))
            )
            slot.pod = undefined
          }).pipe(Effect.forever, Effect.forkScoped)
          return slot
        })
    )

    const oneRestart = Effect.unsafeMakeSemaphore(1).withPermits(1)
    const signal = (slot: Slot | undefined, name: NodeJS.Signals) => slot?.pod?.signal(name) ?? Effect.void
    const endSessions = (slot: Slot | undefined, locksOnly: boolean) =>
      query(
        `select pg_terminate_backend(a.pid) from pg_stat_activity a where a.application_name = $1
           and ($2 = false or exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory'))`,
        [`${slot?.address}:50000`, locksOnly]
      ).pipe(Effect.asVoid)

    const strike = (fault: Fault): Effect.Effect<void> => {
      const slot = "runner" in fault ? slots[fault.runner] : undefined
      switch (fault.kind) {
        case "kill":
          return fault.downFor === 0
            ? signal(slot, "SIGKILL")
            : Effect.gen(function* () {
                yield* slot?.mayRun.close ?? Effect.void
                yield* signal(slot, "SIGKILL")
                yield* Effect.sleep(fault.downFor)
                yield* slot?.mayRun.open ?? Effect.void
              })
        case "freeze":
          return signal(slot, "SIGSTOP").pipe(
            Effect.andThen(Effect.sleep(fault.millis)),
            Effect.andThen(Effect.suspend(() => signal(slot, "SIGCONT")))
          )
        case "roll":
          return signal(slot, "SIGTERM")
        case "cut-locks":
          return endSessions(slot, true)
        case "cut-database":
          return endSessions(slot, false)
        case "cut-network":
          return (slot?.link.cut ?? Effect.void).pipe(
            Effect.andThen(Effect.sleep(fault.millis)),
            Effect.andThen(Effect.suspend(() => slot?.link.mend ?? Effect.void))
          )
        case "power-cut":
          // Frozen, since the kernel would tell of a process that was killed. It never wakes up; another machine takes its place.
          return Effect.gen(function* () {
            const lost = slot?.pod
            if (slot === undefined || lost === undefined) return
            yield* slot.mayRun.close
            yield* lost.signal("SIGSTOP")
            yield* slot.link.abandon
            yield* Effect.sleep(fault.downFor)
            yield* lost.signal("SIGKILL")
            yield* slot.mayRun.open
          })
        case "lose-answers":
          return (slot?.link ?? clientLink).loseAnswers(fault.count)
        case "restart-database":
          // One restart after the other; a server that has not quite ended keeps its shared memory for a moment.
          return oneRestart(
            server
              .restart(fault.signal, fault.awayFor)
              .pipe(Effect.retry(Schedule.spaced("500 millis").pipe(Schedule.upTo("60 seconds"))))
          ).pipe(Effect.orDie)
      }
    }

    const heal = Effect.zipRight(
      clientLink.mend,
      Effect.forEach(
        slots,
        (slot) =>
          Effect.gen(function* () {
            yield* slot.mayRun.open
            yield* slot.link.mend
            yield* Effect.suspend(() => signal(slot, "SIGCONT"))
            yield* until(
              `the runner on ${slot.address} is ready`,
              Effect.suspend(() => slot.pod?.get("/readyz") ?? Effect.fail("not started")),
              ({ status }) => status === 200,
              "60 seconds"
            )
          }).pipe(Effect.match({ onSuccess: () => [], onFailure: ({ message }) => [message] })),
        { concurrency: "unbounded" }
      )
    ).pipe(Effect.map((late) => late.flat()))

    const client = Layer.mergeAll(
      ClusterClient.layer({ ...sharding, messageStorage }),
      EventStore.Default,
      Feed.Default
    ).pipe(
      Layer.provideMerge(
        Database.layer(databaseFromUrl(through(clientLink)), { applicationName: "chaos-client", maxConnections: 8 })
      ),
      Layer.provide(Layer.succeed(CurrentProcess, { name: "client", release: "test" })),
      Layer.provide(Logger.minimumLogLevel(LogLevel.None)),
      // It starts beside runners that start and on a machine that is busy. The library makes a defect of what it can't read then.
      Layer.catchAllCause((cause) => Layer.fail(cause)),
      Layer.retry(Schedule.spaced("500 millis").pipe(Schedule.upTo("60 seconds"))),
      Layer.orDie
    )

    yield* heal
    return {
      query,
      client,
      strike,
      heal,
      runtimeUrl,
      subnet,
      output: () =>
        [
          ...gone,
          ...slots.map(({ pod }) => (pod === undefined ? "" : `--- ${pod.name} (alive)\n${pod.output()}`))
        ].join("\n")
    }
  })
