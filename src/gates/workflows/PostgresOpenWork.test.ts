import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import pg from "pg"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { until } from "../../../test/support/wait.ts"
import * as Database from "../Database.ts"
import { OpenWork } from "./OpenWork.ts"
import * as PostgresOpenWork from "./PostgresOpenWork.ts"

const withWork = <A, E>(database: MigratedDatabase, use: Effect.Effect<A, E, OpenWork>) =>
  Effect.flatMap(Database.fromUrl(database.urlOf("reader")), (settings) =>
    use.pipe(Effect.provide(PostgresOpenWork.layer), Effect.provide(Database.layer(settings)), Effect.scoped)
  )

/** Starts of executions and calls of entities that nobody has taken up. */
const started = (database: MigratedDatabase, from: number, to: number) =>
  database.query(
    `insert into cluster.cluster_messages (id, request_id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed)
     select n, n, type || n, 'default:1', type, 'e' || n, 0, tag, '{}', '{}', false
     from generate_series(${from}, ${to}) n, (values ('Workflow/Order', 'run'), ('Desk', 'Call')) given (type, tag)
     where (type = 'Desk') = (n % 2 = 0)`
  )

const sessions =
  "from pg_stat_activity where application_name = 'deliver' and datname = current_database() and xact_start is not null"

describe("open work of a database", () => {
  it.scopedLive("is read by one look that ends before it is judged, and writes nothing", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* started(database, 1, 4_000)
      const seen = yield* withWork(
        database,
        Effect.gen(function* () {
          const { executions, calls } = yield* OpenWork
          let first = true
          const ids: Array<string> = []
          yield* Stream.runForEach(executions, ({ executionId }) =>
            Effect.gen(function* () {
              ids.push(executionId)
              if (!first) return
              first = false
              // While the first is being judged: what comes now is not of this look, and nothing is held open for the rest.
              const [writes] = yield* database.query<{ n: number }>(
                `select count(*)::int as n ${sessions} and backend_xid is not null`
              )
              expect(writes?.n).toBe(0)
              yield* until(
                "no snapshot is open",
                database.query<{ open: number; held: number }>(
                  `select count(*)::int as open, count(backend_xmin)::int as held ${sessions}`
                ),
                ([found]) => found!.open > 0 && found!.held === 0
              )
              yield* started(database, 4_001, 4_100)
              yield* database.query("delete from cluster.cluster_messages where id <= 1000")
            })
          )
          return { executions: ids, calls: yield* Stream.runCollect(calls) }
        })
      )
      expect(seen.executions).toHaveLength(2_000)
      expect(new Set(seen.executions).size).toBe(2_000)
      expect(seen.calls.length).toBe(2_000)
    })
  )

  it.scopedLive("is said not to be readable, and why, where somebody holds the table", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* started(database, 1, 10)
      const other = yield* Effect.acquireRelease(
        Effect.sync(() => new pg.Client({ connectionString: database.url })),
        (client) => Effect.promise(() => client.end())
      )
      yield* Effect.promise(() => other.connect())
      yield* Effect.promise(() => other.query("begin; lock table cluster.cluster_messages in access exclusive mode"))
      const failed = yield* withWork(
        database,
        Effect.flatMap(OpenWork, ({ executions }) => Stream.runDrain(executions))
      ).pipe(Effect.flip)
      expect(failed).toMatchObject({ _tag: "OpenWorkUnreadable", message: expect.stringContaining("lock timeout") })
    })
  )
})
