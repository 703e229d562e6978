/**
 * A new check on a table that live releases write to. `not valid` spares the rows that are there, and no write: what was fine for
 * those releases fails from then on. The one sample write of a statement says little about what is really written, but the
 * newest rows do: they are what the releases wrote.
 */
import { Effect } from "effect"
import type { Session, StatementFailed } from "../Database.ts"
import type { Finding } from "../Evidence.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import { type Demand, isMomentary } from "./Proof.ts"
import { writersOf } from "./UniqueAdded.ts"

export interface Check {
  readonly table: string
  readonly name: string
  readonly condition: string
}

/** At the end of a table, where what was written last mostly lies. */
const PAGES = 64
const ROWS = 1_000

/** Checks of our tables that say nothing about the rows that are there. Others were held against all rows when they were made. */
export const unvalidated = (session: Session): Effect.Effect<ReadonlyArray<Check>, StatementFailed> =>
  session.query<Check>(
    `select c.relname as table, k.conname as name, pg_get_expr(k.conbin, k.conrelid) as condition
     from pg_constraint k join pg_class c on c.oid = k.conrelid
     where k.contype = 'c' and not k.convalidated and c.relnamespace = to_regnamespace('agents') order by 1, 2`
  )

/** Of the newest rows, how many do not meet it. What can't be evaluated fails a write as well. */
const unmet = (session: Session, { table, condition }: Check): Effect.Effect<number, StatementFailed> =>
  session.script("savepoint deliver_check").pipe(
    Effect.zipRight(
      session.query<{ rows: number }>(
        `select count(*)::int as rows from (
           select * from agents."${table.replaceAll('"', '""')}"
           where ctid >= format('(%s,0)', greatest(0, pg_relation_size(tableoid) / current_setting('block_size')::int - ${PAGES}))::tid
           limit ${ROWS}) as newest
         where not (${condition})`
      )
    ),
    Effect.map(([row]) => row?.rows ?? 0),
    Effect.catchAll((failure) => (isMomentary(failure.code) ? Effect.fail(failure) : Effect.succeed(1))),
    Effect.tap(() => session.script("rollback to savepoint deliver_check; release savepoint deliver_check"))
  )

/** In the transaction of the file, behind its last statement. `before`: what was unvalidated without it. */
export const findings = (
  session: Session,
  file: MigrationFile,
  before: ReadonlyArray<Check>,
  demands: ReadonlyArray<Demand>
): Effect.Effect<ReadonlyArray<Finding>, StatementFailed> =>
  Effect.gen(function* () {
    if (file.checkReason !== undefined) return []
    const keyOf = ({ table, name, condition }: Check) => JSON.stringify([table, name, condition])
    const known = new Set(before.map(keyOf))
    const found: Array<Finding> = []
    for (const check of yield* unvalidated(session)) {
      const writers = writersOf(demands, check.table)
      if (known.has(keyOf(check)) || writers.length === 0) continue
      const rows = yield* unmet(session, check)
      if (rows > 0) found.push(findingOf(file, check, rows, writers))
    }
    return found
  })

const findingOf = (file: MigrationFile, check: Check, rows: number, writers: ReadonlyArray<string>): Finding => ({
  rule: "check-unmet",
  severity: "undecided",
  what: `${file.name} adds check ${check.name} to agents.${check.table}, and live releases write to it: ${rows} of the newest rows do not meet it.`,
  where: `migrations/${file.name}.sql, ${writers.slice(0, 5).join(", ")}`,
  detail: check.condition,
  why: "A release that still writes such rows fails at it from then on, in the middle of an execution. One sample write does not show it.",
  fix: 'If no release that may still run writes them, say why in the header: "-- check: the last release that did was retired in May". Else add it in a later release.'
})
