/** What leaves the writers' table, when, and that nothing of it can be written a second time. */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"

import { Effect, Layer, type Scope } from "effect"
import pg from "pg"
import { type MigratedDatabase, migratedDatabase } from "../../test/support/migrated-database.ts"
import { eventsKeepVerb } from "../bin/cli/events.ts"
import { runVerb } from "../bin/cli/Verb.ts"
import { type Entry, EventLog, FINAL_STEP, type RunKey } from "../domain/EventLog.ts"
import { RunId, SessionId, TenantId } from "../domain/Ids.ts"
import * as Database from "../runtime/Database.ts"
import { databaseFromUrl } from "../runtime/Settings.ts"
import * as EventRetention from "./EventRetention.ts"
import { EventStore, eventLog } from "./EventStore.ts"
import { Feed } from "./Feed.ts"

const key = (tenant: string, run: string): RunKey => ({
  tenantId: TenantId.make(tenant),
  sessionId: SessionId.make("s"),
  runId: RunId.make(run),
  executionId: `execution-of-${run}`
})
const token = (sequence: number): Entry => ({ step: "model", sequence, event: { _tag: "Token", text: `${sequence}` } })
const final: Entry = {
  step: FINAL_STEP,
  sequence: 0,
  event: { _tag: "Completed", text: "", inputTokens: 0, outputTokens: 0 }
}

const accept = (run: RunKey, message = "hi") =>
  Effect.flatMap(EventLog, (log) =>
    log.accept({
      ...run,
      versions: [{ workflow: "AgentWorkflow", executionId: run.executionId }],
      message,
      model: "local"
    })
  )
const append = (run: RunKey, ...entries: ReadonlyArray<Entry>) =>
  Effect.flatMap(EventLog, (log) => log.append(run, entries))
const ended = (run: RunKey) => Effect.zipRight(accept(run), append(run, token(0), token(1), final))

const onDatabase = <A, E>(
  test: (
    database: MigratedDatabase
  ) => Effect.Effect<A, E, EventLog | EventStore | Feed | SqlClient.SqlClient | Scope.Scope>
) =>
  Effect.flatMap(migratedDatabase, (database) =>
    test(database).pipe(
      Effect.provide(
        Layer.mergeAll(eventLog, EventStore.Default, Feed.Default).pipe(
          Layer.provideMerge(
            Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 10 })
          )
        )
      )
    )
  )

interface Kept {
  readonly runs: number
  readonly events: number
  readonly made: ReadonlyArray<string>
  readonly dropped: ReadonlyArray<string>
}
const keep = (database: MigratedDatabase) =>
  Effect.map(
    runVerb([eventsKeepVerb], ["events", "keep", "--database-url", database.urlOf("runtime")]),
    ({ json }) => json as Kept
  )

/** As if everything that has ended had ended that much earlier; partitions are of the days of the ends. */
const age = (database: MigratedDatabase, interval: string) =>
  database.query(
    `update agents.runs set finished_at = finished_at - interval '${interval}' where finished_at is not null`
  )

const count = (database: MigratedDatabase, table: string) =>
  Effect.map(database.query<{ n: number }>(`select count(*)::int as n from agents.${table}`), ([row]) => row!.n)

describe("the retention of events", () => {
  it.scopedLive("moves what has ended to its day, and shows it to readers as before", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const store = yield* EventStore
        const feed = yield* Feed
        const open = key("acme", "open")
        const done = key("acme", "done")
        yield* accept(open)
        yield* ended(done)
        yield* append(open, token(0))
        const before = yield* store.ofSession(open.tenantId, open.sessionId, 0)
        const run = yield* store.ofRun(done.tenantId, done.runId, 0)
        expect([before.length, run.length]).toEqual([6, 4])

        expect(yield* keep(database)).toMatchObject({ runs: 0, events: 0, dropped: [] })
        yield* age(database, "25 hours")
        expect(yield* keep(database)).toMatchObject({ runs: 1, events: 4 })
        expect([yield* count(database, "events"), yield* count(database, "agent_events")]).toEqual([2, 4])

        expect(yield* store.ofSession(open.tenantId, open.sessionId, 0)).toEqual(before)
        expect(yield* store.ofRun(done.tenantId, done.runId, 0)).toEqual(run)
        expect(yield* store.ofRun(done.tenantId, done.runId, run[1]!.eventId)).toEqual(run.slice(2))
        const page = yield* feed.next(open.tenantId, open.sessionId, 2, true)
        expect(page.events).toEqual(before.filter(({ eventId }) => eventId > 2))
        expect(yield* store.ofSession(TenantId.make("other"), open.sessionId, 0)).toEqual([])
        expect(yield* store.ofRun(TenantId.make("other"), done.runId, 0)).toEqual([])
      })
    )
  )

  it.scopedLive("writes nothing twice over midnight, whether a run is open, has ended or has been moved", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const run = key("acme", "late")
        yield* accept(run)
        yield* append(run, token(0))
        // Midnight passes: what was written was written yesterday, and the step runs again.
        yield* database.query(
          "update agents.events set occurred_at = occurred_at - interval '1 day'; update agents.runs set accepted_at = accepted_at - interval '1 day'"
        )
        expect(yield* keep(database)).toMatchObject({ runs: 0, events: 0 })
        expect(yield* append(run, token(0), token(1))).toEqual({ open: true, written: 1 })
        expect(yield* append(run, token(1), final)).toEqual({ open: true, written: 1 })
        expect(yield* append(run, token(0), token(1), final)).toEqual({ open: false, written: 0 })
        yield* age(database, "25 hours")
        expect(yield* keep(database)).toMatchObject({ runs: 1, events: 4 })
        // A runner that was frozen all that time wakes up.
        expect(yield* append(run, token(0), token(1), token(2), final)).toEqual({ open: false, written: 0 })
        expect(yield* keep(database)).toMatchObject({ runs: 0, events: 0 })
        expect([yield* count(database, "events"), yield* count(database, "agent_events")]).toEqual([0, 4])
      })
    )
  )

  it.scopedLive("moves each event once when several move at the same time as others write", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const runs = Array.from({ length: 30 }, (_, i) => key("acme", `run-${i}`))
        yield* Effect.forEach(runs.slice(0, 20), ended)
        yield* age(database, "25 hours")
        yield* keep(database)
        yield* Effect.forEach(runs.slice(20), ended)
        yield* database.query("update agents.runs set finished_at = now() - interval '25 hours'")
        yield* Effect.all(
          [
            keep(database),
            keep(database),
            ...runs.map((run) => append(run, token(0), token(5), final)),
            ended(key("acme", "new"))
          ],
          { concurrency: "unbounded" }
        )
        yield* keep(database)
        expect([yield* count(database, "events"), yield* count(database, "agent_events")]).toEqual([4, 120])
      })
    )
  )

  it.scopedLive("moves until nothing is left, or its time is over, and says how long the oldest has been due", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const runs = 2 * EventRetention.BATCH + 1
        yield* ended(key("acme", "first"))
        yield* database.query(`
          insert into agents.runs
            (tenant_id, run_id, session_id, execution_id, workflow, status, release, accepted_at, finished_at)
          select tenant_id, 'run-' || n, session_id, 'execution-' || n, workflow, status, release, accepted_at,
            finished_at
          from agents.runs, generate_series(2, ${runs}) n where run_id = 'first'`)
        expect(yield* EventRetention.lagSeconds).toBe(0)
        yield* age(database, "26 hours")
        // Two hours, whenever the test looks.
        expect(Math.round((yield* EventRetention.lagSeconds) / 3600)).toBe(2)
        expect(yield* EventRetention.keep({ within: 0 })).toMatchObject({ runs: EventRetention.BATCH, done: false })
        expect(yield* EventRetention.keep({ limit: 1 })).toMatchObject({ runs: 1, done: false })
        expect(yield* EventRetention.keep({})).toMatchObject({ runs: EventRetention.BATCH, done: true })
        expect(yield* EventRetention.lagSeconds).toBe(0)
      })
    )
  )

  it.scopedLive(
    "makes the partitions of days that wait, and reads a day's index once for that, however many runs wait",
    () =>
      onDatabase((database) =>
        Effect.gen(function* () {
          yield* ended(key("acme", "first"))
          yield* age(database, "3 days")
          yield* database.query(`
          insert into agents.runs
            (tenant_id, run_id, session_id, execution_id, workflow, status, release, accepted_at, finished_at)
          select tenant_id, 'run-' || n, session_id, 'execution-' || n, workflow, status, release, accepted_at,
            finished_at - interval '1 day' * (n % 2)
          from agents.runs, generate_series(2, 2000) n where run_id = 'first'`)
          const [made, read] = yield* Effect.promise(async () => {
            const client = new pg.Client({ connectionString: database.urlOf("runtime") })
            await client.connect()
            try {
              await client.query("begin")
              // So few rows would be read as a whole.
              await client.query("set local enable_seqscan = off")
              const { rowCount } = await client.query("select from agents.keep_event_partitions(0)")
              const { rows } = await client.query<{ entries: string }>(
                "select pg_stat_get_xact_tuples_returned('agents.runs_to_keep'::regclass) as entries"
              )
              await client.query("rollback")
              return [rowCount, Number(rows[0]?.entries)] as const
            } finally {
              await client.end()
            }
          })
          // In each of the two tiers: its own, today and the two days.
          expect(made).toBe(8)
          // The oldest one, and one look at each of at most five days for each tier. Midnight may pass meanwhile.
          expect(read).toBeGreaterThan(0)
          expect(read).toBeLessThanOrEqual(12)
        })
      )
  )

  it.scopedLive("drops a day when its tier's days are over, and writes no day anew that is", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* database.query("insert into agents.tenant_tiers (tenant_id, tier) values ('big', 'enterprise')")
        yield* ended(key("acme", "small"))
        yield* ended(key("big", "large"))
        yield* age(database, "30 days")
        const first = yield* keep(database)
        // Today, a week ahead and the day of the ends, in each tier; and the tiers' own.
        expect(first.made.length).toBe(20)
        expect(first).toMatchObject({ runs: 2, events: 8, dropped: [] })
        expect(yield* keep(database)).toMatchObject({ made: [], dropped: [] })

        // The promise is changed in one row, and holds at once for what is there.
        yield* database.query("update agents.retention_tiers set event_days = 29 where tier = 'standard'")
        const { dropped } = yield* keep(database)
        expect(dropped).toEqual([expect.stringMatching(/^agent_events_standard_\d{8}$/)])
        expect(yield* count(database, "agent_events")).toBe(4)

        yield* ended(key("acme", "slow"))
        yield* database.query("update agents.runs set finished_at = now() - interval '40 days' where run_id = 'slow'")
        const late = yield* keep(database)
        expect(late).toMatchObject({ runs: 1, events: 4, dropped: [] })
        expect(late.made.filter((partition) => partition.startsWith("agent_events_standard"))).toEqual([])
        expect([yield* count(database, "events"), yield* count(database, "agent_events")]).toEqual([0, 4])
        // The run is still known by its id: a start that is sent again starts nothing.
        const again = yield* accept(key("acme", "slow"))
        expect(again).toMatchObject({ run: { status: "completed" }, message: "hi" })
      })
    )
  )

  it.scopedLive("knows what was asked of a run whose events were moved", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const run = key("acme", "asked")
        yield* ended(run)
        yield* age(database, "25 hours")
        yield* keep(database)
        expect(yield* accept(run, "something else")).toMatchObject({ run: { status: "completed" }, message: "hi" })
      })
    )
  )

  it.scopedLive("moves nothing while a release may still run that would not find it", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* ended(key("acme", "run"))
        yield* age(database, "25 hours")
        yield* database.query(
          `insert into agents.releases (release, state, surface) values
           ('old', 'rollback-choice', '{"statements":[{"name":"events.of_session","text":""}]}'),
           ('new', 'deployed', '{"statements":[{"name":"events.of_session_kept","text":""}]}')`
        )
        expect(yield* keep(database)).toMatchObject({ runs: 0 })
        yield* database.query("update agents.releases set state = 'retired' where release = 'old'")
        expect(yield* keep(database)).toMatchObject({ runs: 1 })
      })
    )
  )

  it.scopedLive("lets the runners do no DDL but that", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* keep(database)
        const sql = yield* SqlClient.SqlClient
        const failure = yield* Effect.flip(sql.unsafe("drop table agents.agent_events_standard"))
        expect(String(failure.cause)).toContain("must be owner")
        const [may] = yield* database.query(
          "select has_function_privilege('reader', 'agents.keep_event_partitions(integer)', 'execute') as may"
        )
        expect(may).toEqual({ may: false })
      })
    )
  )
})
