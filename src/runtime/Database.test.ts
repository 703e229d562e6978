import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import pg from "pg"
import { migratedDatabase } from "../../test/support/migrated-database.ts"
import { until } from "../../test/support/wait.ts"
import * as Database from "./Database.ts"
import { load } from "./journal/statements.ts"
import { databaseFromUrl } from "./Settings.ts"
import { runner } from "./storage/prepared.ts"
import { unprocessed } from "./storage/statements.ts"

const SHARDS = Array.from({ length: 600 }, (_, index) => `default:${index + 1}`)

describe("connections of the runtime", () => {
  it.scopedLive("are ended when they come back with a statement that still waits for a lock", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const context = yield* Layer.build(
        Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "waits", maxConnections: 2 })
      )
      const sql = Context.get(context, SqlClient)
      const holder = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const client = new pg.Client({ connectionString: database.urlOf("runtime") })
          await client.connect()
          await client.query("select pg_advisory_lock(1)")
          return client
        }),
        (client) => Effect.promise(() => client.end())
      )
      const waiting = (count: number) =>
        until(
          `${count} sessions wait for the lock`,
          database.query<{ readonly waiting: number }>(
            "select count(*)::int as waiting from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.application_name = 'waits'"
          ),
          ([row]) => row?.waiting === count
        )
      // All connections there are, so that none is left by which a statement could be cancelled.
      const asking = yield* Effect.fork(
        Effect.all(
          [1, 2].map(() => sql`select pg_advisory_lock(1)`),
          { concurrency: 2 }
        )
      )
      yield* waiting(2)
      yield* Fiber.interrupt(asking)
      expect(yield* sql`select 1 as one`.pipe(Effect.timeout("5 seconds"))).toEqual([{ one: 1 }])
      yield* waiting(0)
      // It was held all the time.
      expect((yield* Effect.promise(() => holder.query("select pg_advisory_unlock(1) as held"))).rows).toEqual([
        { held: true }
      ])
    })
  )

  it.scopedLive("read by index, also a table of which nobody has gathered statistics", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const context = yield* Layer.build(
        Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 1 })
      )
      const pool = Context.get(context, Database.Pool)
      const run = runner(pool)
      const scans = Effect.gen(function* () {
        yield* Effect.promise(() => pool.query("select pg_stat_force_next_flush()"))
        return yield* database.query(
          "select relname, seq_scan::int as scans from pg_stat_user_tables where relname in ('steps', 'cluster_messages') order by 1"
        )
      })
      yield* database.query("alter table agents.steps set (autovacuum_enabled = false)")
      yield* database.query("alter table cluster.cluster_messages set (autovacuum_enabled = false)")
      // Planned while there is nothing, as by a new environment's first runner.
      const calls = Effect.zip(run(unprocessed, SHARDS, 0), run(load, ["e1", "e2"], []))
      yield* Effect.repeatN(calls, 9)
      yield* database.query(
        `insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
         select n, n, 'default:' || n % 600, 'Workflow/A', md5(n::text), 0, 'run', '{}', '{}', true, n from generate_series(1, 20000) n`
      )
      yield* database.query(
        `insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
         select md5(n::text), 'step', 1, '{}', 'test', '', now(), now() from generate_series(1, 20000) n`
      )
      const before = yield* scans
      yield* Effect.repeatN(calls, 9)
      expect(yield* scans).toEqual(before)
    })
  )
})
