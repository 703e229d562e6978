/** A start that is under way while its tenant is closed: it comes before the removal looks, or not at all. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { type MigratedDatabase, migratedDatabase, type Role } from "../../../test/support/migrated-database.ts"
import { until } from "../../../test/support/wait.ts"
import { acceptRun } from "../../events/statements.ts"
import * as Gates from "../../gates/Database.ts"
import { remove } from "./tenantData.ts"

const asked = { tenant: "acme", by: "ann", why: "request 4711" }

const onGate = <A, E, R>(database: MigratedDatabase, role: Role, use: Effect.Effect<A, E, R | Gates.Database>) =>
  Effect.flatMap(Gates.fromUrl(database.urlOf(role)), (settings) => Effect.provide(use, Gates.layer(settings)))

/** Open to the end of the test, like the pool that it is from. */
const sessionOf = (database: MigratedDatabase, role: Role) =>
  Effect.gen(function* () {
    const pool = yield* Layer.build(Gates.layer(yield* Gates.fromUrl(database.urlOf(role))))
    return yield* Effect.flatMap(Effect.provide(Gates.Database, pool), (gate) => gate.session)
  })

/** What a runner sends, with the very text. */
const accept = (session: Gates.Session, run: string) =>
  session.query(acceptRun.text, [
    "acme",
    "s",
    run,
    JSON.stringify([{ workflow: "AgentWorkflow", executionId: `execution-of-${run}` }]),
    "release",
    "runner",
    "accept",
    '{"message":"hi","model":"local"}'
  ])

const waiting = (database: MigratedDatabase) =>
  until(
    "somebody waits for the tenant",
    database.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'`
    ),
    ([row]) => row!.n === 1
  )

const rows = (database: MigratedDatabase) =>
  Effect.map(
    database.query<{ runs: string | null; events: number; memories: number }>(
      `select (select string_agg(run_id, ' ' order by run_id) from agents.runs) as runs,
         (select count(*)::int from agents.events) as events, (select count(*)::int from agents.memories) as memories`
    ),
    ([row]) => row!
  )

/** With an ended run, which a removal that began too early would take. */
const onDatabase = <E>(test: (database: MigratedDatabase) => Effect.Effect<void, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    yield* accept(yield* sessionOf(database, "runtime"), "old")
    yield* database.query("update agents.runs set finished_at = now(), status = 'completed'")
    yield* database.query(
      "insert into agents.memories (tenant_id, execution_id, idempotency_key, body) values ('acme', 'e', 'k', 'a fact')"
    )
    yield* test(database)
  })

describe("a removal of a tenant and a start at the same moment", () => {
  it.scopedLive("waits for a start that was under way, and then removes nothing", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const runner = yield* sessionOf(database, "runtime")
        yield* runner.script("begin")
        yield* accept(runner, "late")
        const removal = yield* Effect.fork(Effect.flip(onGate(database, "migrator", remove(asked))))
        yield* waiting(database)
        expect(yield* rows(database)).toEqual({ runs: "old", events: 1, memories: 1 })
        yield* runner.script("commit")
        expect(yield* Effect.map(removal, (refused) => refused.message)).toContain("has open runs: late.")
        expect(yield* rows(database)).toEqual({ runs: "late old", events: 2, memories: 1 })
      })
    )
  )

  it.scopedLive("keeps out a start that began before the tenant was closed and had not seen it", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        // The lock of the removal, held for as long as the test needs it.
        const held = yield* sessionOf(database, "migrator")
        yield* held.script("begin")
        yield* held.query("select pg_advisory_xact_lock(hashtextextended('agents.runs/' || $1, 0))::text", ["acme"])
        const start = yield* Effect.fork(
          Effect.flatMap(sessionOf(database, "runtime"), (runner) => accept(runner, "late"))
        )
        // Its statement has begun: its own snapshot is from before the next line.
        yield* waiting(database)
        yield* database.query("insert into agents.tenant_limits (tenant_id, open_runs) values ('acme', 0)")
        yield* held.script("commit")
        yield* start
        expect(yield* rows(database)).toEqual({ runs: "old", events: 1, memories: 1 })
        yield* onGate(database, "migrator", remove(asked))
        expect(yield* rows(database)).toEqual({ runs: null, events: 0, memories: 0 })
        // And none comes later, nor for a client that asks again for the run that was.
        const runner = yield* sessionOf(database, "runtime")
        yield* accept(runner, "later")
        yield* accept(runner, "old")
        expect(yield* rows(database)).toEqual({ runs: null, events: 0, memories: 0 })
      })
    )
  )
})
