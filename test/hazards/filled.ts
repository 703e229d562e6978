/**
 * Migrations whose danger is in rows that are there, or in batches that are committed: each has a database of its own with some
 * notes in it, and runs as `deliver migrate up` runs it.
 */
import { Effect } from "effect"
import type { Timing } from "../../src/gates/migrations/State.ts"
import { next, up, world } from "../support/migration-world.ts"
import { type Entry, saidBy } from "./Entry.ts"
import { deployed } from "./migrations.ts"

const NOTES = 25
const SIZE = 10

const entry = (
  title: string,
  expect: string | null,
  file: string,
  options: { readonly undecided?: true; readonly timing?: Partial<Timing> } = {}
): Entry => ({
  gate: "migrations",
  title,
  expect,
  ...(options.undecided === undefined ? {} : { undecided: options.undecided }),
  judge: Effect.gen(function* () {
    const made = yield* world
    yield* deployed(made)
    yield* made.database.query(
      `insert into agents.notes (id, body) select i, 'somebody wrote it yesterday' from generate_series(1, ${NOTES}) i`
    )
    const { verdict, findings } = yield* Effect.orDie(
      made.run(next({ "0003_change": file }), { timing: options.timing ?? {} })
    )
    return { ...saidBy(verdict, findings), squawk: false }
  })
})

const batches = (statement: string) => `-- batches: ${SIZE}\n${up(statement, "backfill")}`
const fill = (condition = "author is null") =>
  batches(
    `update agents.notes set author = 'x' where id in (select id from agents.notes where ${condition} order by id limit ${SIZE})`
  )
const check = (condition: string) =>
  up(`alter table agents.notes add constraint body_short check (${condition}) not valid;`)

export const filledEntries: ReadonlyArray<Entry> = [
  entry(
    "a backfill limits what it looks at, and not what it changes",
    `changed ${NOTES} rows`,
    batches(`update agents.notes set author = 'x' where author is null and exists (select 1 limit ${SIZE})`)
  ),
  entry("a backfill finds again what it has filled", "still finds some", fill("true")),
  entry("a batch holds its rows for long", "took longer than", fill("author is null and pg_sleep(1) is not null"), {
    timing: { proofTimeout: "200 millis" }
  }),
  entry("rows are filled in batches until none is left", null, fill()),
  entry(
    "a check is added that the sample write meets, and what was really written does not",
    `${NOTES} of the newest rows`,
    check("length(body) < 20"),
    { undecided: true }
  ),
  entry(
    "a check is added that fails on what was really written",
    "of the newest rows",
    check("left(body, 2) = 'sa' or body::int > 0"),
    {
      undecided: true
    }
  ),
  entry("a check is added that what was written meets", null, check("length(body) < 200")),
  entry(
    "a check is added that some rows do not meet, and the header says why",
    null,
    `-- check: an import alone wrote long notes, once\n${check("length(body) < 20")}`
  )
]
