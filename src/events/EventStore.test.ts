import type { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Layer, Option, Ref, type Scope, Stream } from "effect"
import pg from "pg"
import { follow } from "../../test/support/feed.ts"
import { type MigratedDatabase, migratedDatabase } from "../../test/support/migrated-database.ts"
import { until } from "../../test/support/wait.ts"
import type { Event } from "../domain/Event.ts"
import { type Entry, EventLog, FINAL_STEP, type RunKey } from "../domain/EventLog.ts"
import { EventId, RunId, SessionId, TenantId } from "../domain/Ids.ts"
import * as Statement from "../domain/Statement.ts"
import * as Database from "../runtime/Database.ts"
import { databaseFromUrl } from "../runtime/Settings.ts"
import { clean, EventStore, eventLog } from "./EventStore.ts"
import { Feed } from "./Feed.ts"

const tenantId = TenantId.make("acme")
const key = (session: string, run: string): RunKey => ({
  tenantId,
  sessionId: SessionId.make(session),
  runId: RunId.make(run),
  executionId: `execution-of-${run}`
})
const token = (sequence: number, text: string): Entry => ({ step: "model", sequence, event: { _tag: "Token", text } })
const final = (event: Event): Entry => ({ step: FINAL_STEP, sequence: 0, event })
const completed: Event = { _tag: "Completed", text: "", inputTokens: 0, outputTokens: 0 }
const cancelled: Event = { _tag: "Cancelled", by: "ann" }

const accept = (run: RunKey) =>
  Effect.flatMap(EventLog, (log) =>
    log.accept({
      ...run,
      versions: [{ workflow: "AgentWorkflow", executionId: run.executionId }],
      message: "hi",
      model: "local"
    })
  )
const append = (run: RunKey, ...entries: ReadonlyArray<Entry>) =>
  Effect.flatMap(EventLog, (log) => log.append(run, entries))
const session = (run: RunKey) => Effect.flatMap(EventStore, (store) => store.ofSession(tenantId, run.sessionId, 0))
const status = (run: RunKey) =>
  Effect.flatMap(EventStore, (store) => store.run(tenantId, run.runId)).pipe(
    Effect.map(Option.match({ onNone: () => "none", onSome: ({ status }) => status }))
  )

/** As the runtime role: a missing grant shows here. */
const takenBack = (url: string, text: string, values: ReadonlyArray<unknown>) =>
  Effect.promise(async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      await client.query("begin")
      await client.query(text, [...values])
      await client.query("rollback")
    } finally {
      await client.end()
    }
  })

const onDatabase = <A, E>(
  test: (database: MigratedDatabase) => Effect.Effect<A, E, EventLog | EventStore | Feed | SqlClient | Scope.Scope>
) =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    yield* test(database).pipe(
      Effect.provide(
        Layer.mergeAll(eventLog, EventStore.Default, Feed.Default).pipe(
          Layer.provideMerge(
            Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 20 })
          )
        )
      )
    )
  })

describe("EventStore", () => {
  it.scopedLive("writes what is repeated once, and gives ids in order", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const run = key("s", "r")
        yield* accept(run)
        yield* accept(run)
        yield* append(run, token(0, "a"), token(1, "b"))
        expect(yield* append(run, token(1, "b"), token(2, "c"))).toEqual({ open: true, written: 1 })
        const events = yield* session(run)
        expect(events.map(({ eventId, step, sequence }) => [eventId, step, sequence])).toEqual([
          [1, "accept", 0],
          [2, "model", 0],
          [3, "model", 1],
          [4, "model", 2]
        ])
      })
    )
  )

  it.scopedLive("gives a run the newest version that every live runner carries, and keeps it", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const log = yield* EventLog
        const accepted = (id: string) => {
          const run = key("s", id)
          const versions = ["B", "A"].map((workflow) => ({ workflow, executionId: `${workflow}-${id}` }))
          return Effect.map(log.accept({ ...run, versions, message: "hi", model: "local" }), (found) => [
            found.run.workflow,
            found.run.executionId
          ])
        }
        const runner = (name: string, carries: ReadonlyArray<string>, seen = "now()") =>
          database.query(
            `insert into agents.runners (runner, release, carries, seen_at)
             values ('${name}', 'r', '{"workflows":{${carries.map((each) => `"${each}":{}`).join()}}}', ${seen})`
          )
        yield* runner("new", ["A", "B"])
        yield* runner("killed", [], "now() - interval '1 minute'")
        expect(yield* accepted("alone")).toEqual(["B", "B-alone"])
        const recorded = (release: string, state: string, carries: ReadonlyArray<string>) =>
          database.query(
            `insert into agents.releases (release, surface, state)
             values ('${release}', '{"workflows":{${carries.map((each) => `"${each}":{}`).join()}}}', '${state}')`
          )
        yield* recorded("now", "deployed", ["A", "B"])
        yield* recorded("before", "rollback-choice", ["A"])
        yield* recorded("long-ago", "retired", [])
        expect(yield* accepted("may-come-back")).toEqual(["A", "A-may-come-back"])
        // Of two that a rollback would strand, the newest.
        yield* database.query(`update agents.releases set surface = '{"workflows":{}}' where release = 'before'`)
        expect(yield* accepted("none-can-come-back")).toEqual(["B", "B-none-can-come-back"])
        yield* runner("old", ["A"])
        expect(yield* accepted("mixed")).toEqual(["A", "A-mixed"])
        expect(yield* accepted("alone")).toEqual(["B", "B-alone"])
        yield* runner("other", ["C"])
        expect(yield* Effect.flip(accepted("none"))).toMatchObject({ _tag: "NoVersionCarried", versions: ["B", "A"] })
        expect(yield* database.query("select run_id from agents.runs order by 1")).toEqual([
          { run_id: "alone" },
          { run_id: "may-come-back" },
          { run_id: "mixed" },
          { run_id: "none-can-come-back" }
        ])
        expect(yield* database.query("select count(*)::int as events from agents.events")).toEqual([{ events: 4 }])
      })
    )
  )

  it.scopedLive("gives a version that is for one tier to its tenants alone, and to a run once and for all", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const log = yield* EventLog
        const accepted = (id: string) => {
          const versions = [
            { workflow: "Large", executionId: `large-${id}`, tier: "enterprise" },
            { workflow: "Plain", executionId: `plain-${id}` }
          ]
          return Effect.map(
            log.accept({ ...key("s", id), versions, message: "hi", model: "local" }),
            (found) => found.run.workflow
          )
        }
        const tier = (name: string) =>
          database.query(
            `insert into agents.tenant_tiers (tenant_id, tier) values ($1, $2)
             on conflict (tenant_id) do update set tier = excluded.tier`,
            [key("s", "r").tenantId, name]
          )
        expect(yield* accepted("no-tier")).toBe("Plain")
        yield* tier("enterprise")
        expect(yield* accepted("large")).toBe("Large")
        expect(yield* accepted("no-tier")).toBe("Plain")
        yield* tier("standard")
        expect(yield* accepted("standard")).toBe("Plain")
        expect(yield* accepted("large")).toBe("Large")
        // A pool of another release that lacks it.
        yield* tier("enterprise")
        yield* database.query(
          `insert into agents.runners (runner, release, carries) values ('old', 'r', '{"workflows":{"Plain":{}}}')`
        )
        expect(yield* accepted("mixed")).toBe("Plain")
      })
    )
  )

  it.scopedLive(
    "counts what each answer of a run used once, open or not, and what an older release left to its end",
    () =>
      onDatabase((database) =>
        Effect.gen(function* () {
          const log = yield* EventLog
          const model = "local"
          const record = (run: RunKey, step: string, inputTokens: number, outputTokens: number) =>
            log.recordUsage(run, { step, model, inputTokens, outputTokens })
          const settle = (run: RunKey, inputTokens: number, outputTokens: number) =>
            log.settleUsage(run, { model, inputTokens, outputTokens })
          const counted = (run: RunKey) =>
            database
              .query<{ readonly row: string }>(
                `select concat_ws(' ', step, workflow, input_tokens, output_tokens) as row
               from agents.token_usage where execution_id = $1 order by step`,
                [run.executionId]
              )
              .pipe(Effect.map((rows) => rows.map(({ row }) => row)))

          const both = key("s", "both")
          yield* accept(both)
          // It broke off; another attempt got further, and a stale one less far.
          yield* record(both, "model", 2, 3)
          yield* record(both, "model", 2, 5)
          yield* record(both, "model", 2, 4)
          // Neither is an answer: they are no part of what the run's end settles.
          yield* record(both, "plan", 100, 100)
          yield* record(both, "both/tool:1", 100, 0)
          yield* append(both, final(cancelled))
          // Its run is over, and it has answered all the same.
          yield* record(both, "follow-up", 1, 3)
          yield* settle(both, 3, 8)
          expect(yield* counted(both)).toEqual([
            "both/tool:1 AgentWorkflow 100 0",
            "follow-up AgentWorkflow 1 3",
            "model AgentWorkflow 2 5",
            "plan AgentWorkflow 100 100"
          ])

          // The release before recorded nothing of its first answer, or nothing of its second.
          const first = key("s", "first")
          yield* accept(first)
          yield* record(first, "follow-up", 1, 3)
          expect(yield* counted(first)).toEqual([])
          const second = key("s", "second")
          yield* accept(second)
          yield* record(second, "plan", 100, 100)
          yield* record(second, "model", 2, 5)
          for (const run of [first, second]) yield* settle(run, 3, 8)
          for (const run of [first, second]) yield* settle(run, 3, 8)
          expect(yield* counted(first)).toEqual(["rest AgentWorkflow 3 8"])
          expect(yield* counted(second)).toEqual([
            "model AgentWorkflow 2 5",
            "plan AgentWorkflow 100 100",
            "rest AgentWorkflow 1 3"
          ])

          // Of a tenant that was removed.
          yield* record(key("s", "removed"), "model", 1, 1)
          yield* settle(key("s", "removed"), 1, 1)
          expect(yield* counted(key("s", "removed"))).toEqual([])
        })
      )
  )

  it.scopedLive("lets one last event end a run, and nothing follow it", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const run = key("s", "r")
        yield* accept(run)
        const ends = Array.from({ length: 10 }, (_, index) => final(index % 2 === 0 ? completed : cancelled))
        const outcomes = yield* Effect.forEach(ends, (entry) => append(run, entry), { concurrency: "unbounded" })
        expect(outcomes.filter(({ open }) => open)).toHaveLength(1)
        expect(yield* append(run, token(0, "late"))).toEqual({ open: false, written: 0 })
        expect((yield* session(run)).map(({ step }) => step)).toEqual(["accept", "final"])
        const [last] = (yield* session(run)).slice(-1)
        expect(yield* status(run)).toBe(last?.event._tag === "Completed" ? "completed" : "cancelled")
      })
    )
  )

  it.scopedLive("follows a run's status by its events, and is not put back by a late rerun", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const run = key("s", "r")
        const asked: Entry = { step: "approval", sequence: 0, event: { _tag: "ApprovalRequested", reason: "?" } }
        yield* accept(run)
        yield* append(run, asked)
        expect(yield* status(run)).toBe("waiting")
        yield* append(run, { step: "approval", sequence: 1, event: { _tag: "Approved", by: "ann" } })
        yield* append(run, asked)
        expect(yield* status(run)).toBe("accepted")
      })
    )
  )

  it.scopedLive("keeps a run id for the session and the request that took it first", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const run = key("s", "r")
        yield* accept(run)
        const other = yield* accept({ ...run, sessionId: SessionId.make("other") })
        expect(other.run.sessionId).toBe("s")
        expect(other.message).toBe("hi")
        expect(yield* session({ ...run, sessionId: SessionId.make("other") })).toEqual([])
      })
    )
  )

  it.scopedLive("shows ids in the order of their commits, so that a follower misses none and sees none twice", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const runs = Array.from({ length: 8 }, (_, index) => key("busy", `r${index}`))
        const seen = yield* Ref.make<ReadonlyArray<number>>([])
        const feed = yield* Feed
        yield* follow(feed, tenantId, SessionId.make("busy"), 0).pipe(
          Stream.runForEach(({ eventId }) => Ref.update(seen, (ids) => [...ids, eventId])),
          Effect.forkScoped
        )
        yield* Effect.forEach(
          runs,
          (run) =>
            Effect.gen(function* () {
              yield* accept(run)
              // Twice each, at the same moment: as a frozen owner and its successor would.
              yield* Effect.forEach(
                Array.from({ length: 25 }, (_, index) => index),
                (index) =>
                  Effect.all([append(run, token(index, "x")), append(run, token(index, "x"))], { concurrency: 2 })
              )
            }),
          { concurrency: "unbounded" }
        )
        const ids = yield* until("all events", Ref.get(seen), (ids) => ids.length >= 8 * 26)
        expect(ids).toHaveLength(8 * 26)
        expect(ids).toEqual([...ids].sort((one, other) => one - other))
        expect(new Set(ids).size).toBe(ids.length)
      })
    )
  )

  it.scopedLive("follows from any event on, across pages, for several readers at once", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const run = key("long", "r")
        yield* accept(run)
        yield* append(run, ...Array.from({ length: 450 }, (_, index) => token(index, `${index}`)))
        const feed = yield* Feed
        const read = (after: number, count: number) =>
          follow(feed, tenantId, run.sessionId, after).pipe(
            Stream.take(count),
            Stream.runCollect,
            Effect.map((events) => [...events].map(({ eventId }) => eventId as number))
          )
        const [all, tail, other] = yield* Effect.all([read(0, 451), read(440, 11), read(445, 6)], { concurrency: 3 })
        expect(all).toEqual(Array.from({ length: 451 }, (_, index) => index + 1))
        expect(tail).toEqual(all.slice(440))
        expect(other).toEqual(all.slice(445))
      })
    )
  )

  it.scopedLive("hides a tenant's sessions and runs from another", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const run = key("s", "r")
        yield* accept(run)
        const store = yield* EventStore
        const stranger = TenantId.make("globex")
        expect(yield* store.ofSession(stranger, run.sessionId, EventId.make(0))).toEqual([])
        expect(yield* store.ofRun(stranger, run.runId, 0)).toEqual([])
        expect(Option.isNone(yield* store.run(stranger, run.runId))).toBe(true)
      })
    )
  )

  it.scopedLive("keeps any text that a model or a tool may print, but for what JSON in Postgres can't hold", () =>
    onDatabase(() =>
      Effect.gen(function* () {
        const run = key("s", "r")
        yield* accept(run)
        const texts = [
          ...fc.sample(fc.string({ unit: "binary", maxLength: 200 }), 100),
          "\u0000 and \ud800 alone",
          `'"\\ $1 \n`,
          "🙂"
        ]
        yield* append(run, ...texts.map((text, index) => token(index, text)))
        const events = yield* session(run)
        expect(events.slice(1).map(({ event }) => (event._tag === "Token" ? event.text : ""))).toEqual(texts.map(clean))
      })
    )
  )

  it.scopedLive("has statements that prepare, and writes that work with their probes, as the runtime role", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const ours = Statement.all()
        expect(ours.length).toBeGreaterThan(8)
        for (const { name, text, probe } of ours) {
          const statement = `p_${name.replaceAll(".", "_")}`
          yield* database.query(`prepare ${statement} as ${text}`)
          // Taken back, as the migration gate does: two statements may probe with the same key.
          if (probe !== undefined) yield* takenBack(database.url, text, probe)
        }
      })
    )
  )
})
