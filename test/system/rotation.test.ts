import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import pg from "pg"
import { RunId, SessionId } from "../../src/domain/Ids.ts"
import { stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

const RUNS = 12

/** The database's Secret with a role of its own: the roles of the test server belong to all test files. */
const rotatingSecret = (url: string, query: (text: string) => Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const role = `rotating_${crypto.randomUUID().slice(0, 8)}`
    yield* Effect.acquireRelease(query(`create role ${role} login password 'first' in role runtime`), () =>
      query(`drop owned by ${role}; drop role ${role}`)
    )
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "agents-secret-"))),
      (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
    )
    const { hostname, port, pathname } = new URL(url)
    const values = { host: hostname, port, database: pathname.slice(1), username: role, password: "first" }
    for (const [name, value] of Object.entries(values)) {
      yield* Effect.promise(() => writeFile(join(folder, name), `${value}\n`))
    }
    return { folder, role }
  })

it.scopedLive(
  "rotates the database password under load: every run completes, and the old password is refused",
  () =>
    Effect.gen(function* () {
      const made = yield* stack
      const { folder, role } = yield* rotatingSecret(made.database.url, made.database.query)
      const env = { DATABASE_SECRET_DIR: folder }
      yield* made.runner(0, env)
      const gateway = yield* made.gateway(0, env)
      const ids = Array.from({ length: RUNS }, (_, index) => `rotated-${index}`)
      // Once each: the gateway rides through the rotation, and no client need send anything again.
      const start = (runId: string) =>
        gateway.runs.start({
          path: { sessionId: SessionId.make(runId) },
          payload: { runId: RunId.make(runId), message: "hello tokens:40 slow:40" }
        })
      yield* Effect.forEach(ids.slice(0, RUNS / 2), start, { concurrency: 3 })

      yield* made.database.query(`alter role ${role} password 'second'`)
      // Otherwise the connections of before would serve on. Those at work are ended too; those that hold shards are left: ending
      // them tests something else.
      const dropped = yield* made.database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity a where usename = $1
         and not exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory')`,
        [role]
      )
      expect(dropped.length).toBeGreaterThan(0)
      // Between the two halves every new connection is refused: these starts wait for the other half.
      const between = yield* Effect.fork(Effect.forEach(ids.slice(RUNS / 2), start, { concurrency: 3 }))
      yield* Effect.promise(() => writeFile(join(folder, "password"), "second\n"))
      yield* between

      yield* until(
        "all runs have ended",
        made.database.query<{ status: string; count: number }>(
          "select status, count(*)::int as count from agents.runs group by status"
        ),
        (rows) => rows.every(({ status }) => ["completed", "failed", "cancelled"].includes(status)),
        "60 seconds"
      ).pipe(Effect.map((rows) => expect(rows).toEqual([{ status: "completed", count: RUNS }])))

      const old = yield* Effect.promise(async () => {
        const client = new pg.Client({ connectionString: made.database.url.replace(/\/\/[^@]*@/, `//${role}:first@`) })
        return await client.connect().then(
          () => client.end().then(() => "accepted"),
          (error: { readonly code?: string }) => error.code
        )
      })
      expect(old).toBe("28P01")
    }),
  180_000
)
