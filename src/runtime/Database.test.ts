import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { migratedDatabase } from "../../test/support/migrated-database.ts"
import * as Database from "./Database.ts"
import { load } from "./journal/statements.ts"
import { databaseFromUrl } from "./Settings.ts"
import { runner } from "./storage/prepared.ts"
import { unprocessed } from "./storage/statements.ts"

const SHARDS = Array.from({ length: 600 }, (_, index) => `default:${index + 1}`)

describe("connections of the runtime", () => {
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
