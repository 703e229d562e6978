import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { platformDatabase } from "../../../test/support/migrated-database.ts"
import { up } from "../../../test/support/migration-world.ts"
import { Database, fromUrl, layer } from "../Database.ts"
import * as LockTrace from "./LockTrace.ts"
import { parse, readFolder } from "./MigrationFile.ts"

const base = parse(
  "0001_base",
  "",
  up(`create schema agents; create table agents.notes (id bigint primary key, body text, stars int);
    create table agents.people (name text primary key); create table agents.tags (tag text);`)
)

/** In the history before locks were traced; an applied file is never edited, so the reason stands here and not in its header. */
const landed: Readonly<Record<string, string>> = {
  "0006_event_retention": "it fills tables of one row a tier, and gives columns with constant defaults to two more"
}

const scratchSession = Effect.gen(function* () {
  const database = yield* platformDatabase
  const context = yield* Layer.build(layer(yield* fromUrl(database.urlOf("migrator"))))
  return { database, session: yield* Context.get(context, Database).session }
})

const traced = (sql: string, head = "") =>
  Effect.gen(function* () {
    const { session } = yield* scratchSession
    const { traces, failed } = yield* LockTrace.traceAll(session, [base], [parse("0002_it", "", head + up(sql))])
    return {
      failed,
      rules: traces.flatMap(LockTrace.findingsOf).map(({ rule }) => rule),
      said: traces.map(LockTrace.describe).join("\n")
    }
  })

describe("the trace of a migration's locks", () => {
  const heavy: ReadonlyArray<readonly [string, string, string, string]> = [
    [
      "a rewrite that is put together at run time",
      "do $$ begin execute 'alter table agents.notes alter stars ty' || 'pe bigint'; end $$;",
      "lock-rewrite",
      "rewrites agents.notes"
    ],
    [
      "a column whose default is made for each row",
      "alter table agents.notes add column made timestamptz default clock_timestamp();",
      "lock-rewrite",
      "rewrites agents.notes"
    ],
    [
      "a check that reads the table",
      "alter table agents.notes add check (stars > 0);",
      "lock-scan",
      "scans agents.notes"
    ],
    ["NOT NULL", "alter table agents.notes alter body set not null;", "lock-scan", "scans agents.notes"],
    ["an index", "create index on agents.notes (body);", "lock-scan", "ShareLock agents.notes; scans agents.notes"],
    [
      "a scan of one table behind a lock on another",
      "alter table agents.people add column age int; insert into agents.tags select body from agents.notes;",
      "lock-scan",
      "AccessExclusiveLock agents.people; scans agents.notes"
    ],
    [
      "three tables at once",
      "alter table agents.notes add a int; alter table agents.people add a int; alter table agents.tags add a int;",
      "lock-many",
      "AccessExclusiveLock agents.people"
    ]
  ]
  for (const [what, sql, rule, said] of heavy) {
    it.scopedLive(`refuses ${what}, unless the header says why`, () =>
      Effect.gen(function* () {
        const refused = yield* traced(sql)
        expect(refused.rules, refused.said).toEqual([rule])
        expect(refused.said).toContain(said)
        expect((yield* traced(sql, "-- lock: the table has 200 rows\n")).rules).toEqual([])
        expect((yield* traced(sql, "-- lock: x\n")).rules, "a reason has some words").toEqual([rule])
      })
    )
  }

  const light: ReadonlyArray<readonly [string, string]> = [
    ["a column", "alter table agents.notes add column more text;"],
    ["a constant default", "alter table agents.notes add column more int not null default 7;"],
    ["a check that is not validated", "alter table agents.notes add constraint c check (stars > 0) not valid;"],
    ["a new table with an index", "create table agents.t (a int); create index on agents.t (a);"],
    ["a backfill", "update agents.notes set stars = 1 where stars is null;"],
    ["a wider text", "alter table agents.notes alter body type varchar;"]
  ]
  for (const [what, sql] of light) {
    it.scopedLive(`lets ${what} pass`, () =>
      Effect.map(traced(sql), ({ rules, said, failed }) => {
        expect(failed).toBeUndefined()
        expect(rules, said).toEqual([])
      })
    )
  }

  it.scopedLive("leaves a file that does not run to the gate, and the scratch database empty", () =>
    Effect.gen(function* () {
      const { session, database } = yield* scratchSession
      const files = [parse("0002_bad", "", up("alter table agents.none add a int;"))]
      expect(yield* LockTrace.traceAll(session, [base], files)).toEqual({ traces: [], failed: "0002_bad" })
      expect(yield* database.query("select from pg_namespace where nspname in ('agents', 'cluster')")).toHaveLength(0)
      yield* database.query("create schema agents")
      expect(yield* Effect.flip(LockTrace.traceAll(session, [], files))).toMatchObject({ _tag: "ScratchUnusable" })
    })
  )

  it.scopedLive("lets a table be locked that a migration of the same run makes: nobody uses it yet", () =>
    Effect.gen(function* () {
      const { session } = yield* scratchSession
      const heavy = parse("0003_heavy", "", up("alter table agents.fresh alter a type bigint;"))
      const made = parse("0002_made", "", up("create table agents.fresh (a int);"))
      const together = yield* LockTrace.traceAll(session, [base], [made, heavy])
      expect(together.traces.flatMap(LockTrace.findingsOf)).toEqual([])
      const later = yield* LockTrace.traceAll(session, [base, made], [heavy])
      expect(later.traces.flatMap(LockTrace.findingsOf).map(({ rule }) => rule)).toContain("lock-rewrite")
    })
  )

  it.scopedLive("finds this repository's own migrations within the budget, each on those before it", () =>
    Effect.gen(function* () {
      const files = yield* readFolder(join(import.meta.dirname, "../../../migrations"))
      const { session } = yield* scratchSession
      const each = yield* Effect.forEach(files, (file, index) =>
        LockTrace.traceAll(session, files.slice(0, index), [file])
      )
      expect(each.filter(({ failed }) => failed !== undefined)).toEqual([])
      const traces = each.flatMap(({ traces }) => traces)
      expect(traces.length).toBeGreaterThan(4)
      const found = traces.flatMap(LockTrace.findingsOf).map(({ where }) => where.split(/[/.]/)[1])
      expect([...new Set(found)].filter((name) => !(name! in landed))).toEqual([])
      // A reason that nothing needs any more would let the next one through.
      expect(Object.keys(landed).filter((name) => !found.includes(name))).toEqual([])
    })
  )
})
