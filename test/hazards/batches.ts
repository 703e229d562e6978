/**
 * Backfills in batches. Each batch is committed, which is what is judged here: so each entry has a database of its own, and the
 * migration runs as `deliver migrate up` runs it.
 */
import { Effect } from "effect"
import type { Timing } from "../../src/gates/migrations/State.ts"
import { next, up, world } from "../support/migration-world.ts"
import { type Entry, saidBy } from "./Entry.ts"
import { deployed } from "./migrations.ts"

const NOTES = 25
const SIZE = 10

const entry = (title: string, expect: string | null, statement: string, timing: Partial<Timing> = {}): Entry => ({
  gate: "migrations",
  title,
  expect,
  judge: Effect.gen(function* () {
    const { database, run, ...rest } = yield* world
    yield* deployed({ database, run, ...rest })
    yield* database.query(`insert into agents.notes (id, body) select i, 'b' from generate_series(1, ${NOTES}) i`)
    const release = next({ "0003_fill": `-- batches: ${SIZE}\n${up(statement, "backfill")}` })
    const { verdict, findings } = yield* Effect.orDie(run(release, { timing }))
    return { ...saidBy(verdict, findings), squawk: false }
  })
})

const fill = (condition = "author is null") =>
  `update agents.notes set author = 'x' where id in (select id from agents.notes where ${condition} order by id limit ${SIZE})`

export const batchEntries: ReadonlyArray<Entry> = [
  entry(
    "a backfill limits what it looks at, and not what it changes",
    "changed 25 rows",
    `update agents.notes set author = 'x' where author is null and exists (select 1 limit ${SIZE})`
  ),
  entry("a backfill finds again what it has filled", "still finds some", fill("true")),
  entry("a batch holds its rows for long", "took longer than", fill("author is null and pg_sleep(1) is not null"), {
    proofTimeout: "200 millis"
  }),
  entry("rows are filled in batches until none is left", null, fill())
]
