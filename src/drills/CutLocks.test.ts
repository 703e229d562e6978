import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import pg from "pg"
import { migratedDatabase } from "../../test/support/migrated-database.ts"
import { CutLocks } from "./CutLocks.ts"
import { DrillAborted, type Surroundings } from "./Drill.ts"
import * as LockSessions from "./LockSessions.ts"

const RUNNER = "effect-agent-runtime-1"

/** A real database with a session that holds a lock as a runner does; the runs around it are made up. */
const target = (options: { readonly lost: number; readonly holder: string }) =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const client = (role: "runtime" | "drill", name: string) =>
      Effect.acquireRelease(
        Effect.promise(async () => {
          const made = new pg.Client({ connectionString: database.urlOf(role), application_name: name })
          made.on("error", () => {})
          await made.connect()
          return made
        }),
        (made) => Effect.promise(() => made.end().catch(() => {}))
      )
    const runner = yield* client("runtime", `${options.holder}.effect-agent-runners:50000`)
    yield* Effect.promise(() => runner.query("select pg_advisory_lock(1000001)"))
    const drill = yield* client("drill", "drill")
    let written = 3
    const state = (runId: string) => ({ runId, status: "accepted" as const, runner: RUNNER })
    const around: Surroundings = {
      gateway: {
        startRun: ({ runId }) => Effect.succeed(state(runId)),
        status: (runId) => Effect.succeed(state(runId)),
        written: () => Effect.sync(() => ++written),
        approve: (runId) => Effect.succeed(state(runId)),
        waitFor: () => Effect.void
      },
      kubernetes: { pods: Effect.succeed([]), deletePod: () => Effect.void },
      locks: LockSessions.make((text, values) =>
        Effect.tryPromise({
          try: async () => (await drill.query(text, [...values])).rows,
          catch: (cause) => new DrillAborted({ message: String(cause) })
        })
      ),
      invariant: () => Effect.succeed({ runs: 6, executionsLost: options.lost, eventsDoubled: 0, findings: [] }),
      log: () => Effect.void
    }
    return around
  })

it.scopedLive("ends the session that holds a runner's shards, as role drill, and tells which", () =>
  Effect.gen(function* () {
    const journal = yield* CutLocks.run(yield* target({ lost: 0, holder: RUNNER }))
    expect(journal.status).toBe("completed")
    expect(journal.fault).toMatch(/^sessions \d+ of effect-agent-runtime-1 held shards and are gone$/)
  })
)

it.scopedLive("has shown nothing when the runner holds no shards, and leaves another runner's session alone", () =>
  Effect.gen(function* () {
    const around = yield* target({ lost: 0, holder: "effect-agent-runtime-11" })
    const journal = yield* CutLocks.run(around)
    expect(journal.status).toBe("no-fault")
    expect(yield* around.locks.sessions("effect-agent-runtime-11")).toHaveLength(1)
  })
)

it.scopedLive("deviates when an accepted run is lost", () =>
  Effect.gen(function* () {
    expect((yield* CutLocks.run(yield* target({ lost: 1, holder: RUNNER }))).status).toBe("deviated")
  })
)
