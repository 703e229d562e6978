/**
 * Which locks a new migration takes on what was there before it, and what it does while it holds them.
 *
 * Watched in a scratch database where the history was replayed, statement by statement: Postgres itself says which locks are
 * held, which tables got new files (a rewrite) and which were read from end to end (a scan). So it also sees what a `do` block
 * puts together at run time, which no linter can read. Locks are held until the commit: a scan that comes after one counts.
 */
import { Effect } from "effect"
import type { Session, StatementFailed } from "../Database.ts"
import type { Finding } from "../Evidence.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import { empty, ScratchUnusable } from "./Scratch.ts"
import { migrationPath } from "./State.ts"

/** Modes that writers of a table wait for; the last also has its readers wait. */
const BLOCKING = ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"]

/** So many tables may be locked against readers in one transaction: with more, two such transactions soon wait for one another. */
const TABLES = 2

export interface Step {
  readonly line: number
  readonly words: string
  /** Blocking locks held after it, on tables that were there before: `AccessExclusiveLock agents.notes`. */
  readonly locks: ReadonlyArray<string>
  readonly rewritten: ReadonlyArray<string>
  readonly scanned: ReadonlyArray<string>
}

export interface Trace {
  readonly file: MigrationFile
  readonly steps: ReadonlyArray<Step>
}

interface TableState {
  readonly oid: string
  readonly name: string
  readonly file: string
  readonly scans: string
}

const tables = `
  select c.oid::text as oid, n.nspname || '.' || c.relname as name, coalesce(pg_relation_filenode(c.oid), 0)::text as file,
    coalesce(pg_stat_get_xact_numscans(c.oid), 0)::text as scans
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'agents' and c.relkind in ('r', 'p', 'm') and c.relname not like 'pgmigrations%'`

const held = `
  select l.relation::text as oid, l.mode from pg_locks l
  where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.granted
    and l.database = (select oid from pg_database where datname = current_database())`

const read = (session: Session) =>
  Effect.map(session.query<TableState>(tables), (rows) => new Map(rows.map((row) => [row.oid, row])))

/**
 * Runs the file in the open transaction of a scratch session and watches it. Empty tables are enough: what is scanned or
 * rewritten does not depend on their rows. What was there before must be committed: a table that this transaction made is locked.
 * `ofNobody`: whether no release uses a table yet, so that nobody waits for it.
 */
export const trace = (
  session: Session,
  file: MigrationFile,
  ofNobody: (oid: string) => boolean = () => false
): Effect.Effect<Trace, StatementFailed> =>
  Effect.gen(function* () {
    const before = yield* read(session)
    const known = new Map([...before].filter(([oid]) => !ofNobody(oid)).map(([oid, { name }]) => [oid, name]))
    const steps: Array<Step> = []
    let last = before
    for (const { text, line, words } of file.statements) {
      yield* session.script(text)
      const now = yield* read(session)
      const locks = (yield* session.query<{ oid: string; mode: string }>(held))
        .filter(({ oid, mode }) => known.has(oid) && BLOCKING.includes(mode))
        .map(({ oid, mode }) => `${mode} ${known.get(oid)}`)
      const changed = (differs: (was: TableState, is: TableState) => boolean) =>
        [...known]
          .filter(([oid]) => {
            const [was, is] = [last.get(oid), now.get(oid)]
            return was !== undefined && is !== undefined && differs(was, is)
          })
          .map(([, name]) => name)
      steps.push({
        line,
        words: words.slice(0, 60),
        locks: [...new Set(locks)].sort(),
        rewritten: changed((was, is) => was.file !== is.file),
        scanned: changed((was, is) => Number(is.scans) > Number(was.scans))
      })
      last = now
    }
    return { file, steps }
  })

const inTransaction = <A>(session: Session, effect: Effect.Effect<A, StatementFailed>) =>
  session.script(`begin; set local search_path to ${migrationPath}`).pipe(
    Effect.zipRight(effect),
    Effect.tap(() => session.script("commit")),
    Effect.tapError(() => Effect.ignore(session.script("rollback")))
  )

/**
 * Replays what is applied in a scratch database, each file a transaction as it was, and traces what is pending. The scratch
 * database is empty before and after. `failed`: a pending file that does not run there; the gate's own run says why.
 */
export const traceAll = (
  scratch: Session,
  applied: ReadonlyArray<MigrationFile>,
  pending: ReadonlyArray<MigrationFile>
): Effect.Effect<{ readonly traces: ReadonlyArray<Trace>; readonly failed: string | undefined }, ScratchUnusable> => {
  const unusable = (what: string) => (cause: StatementFailed) =>
    new ScratchUnusable({
      message: `${what} in the scratch database: ${cause.message} (${cause.code}). It needs the platform's roles, and the right to create in it.`
    })
  const bare = (file: MigrationFile) => file.sql.replace(/\bconcurrently\b/gi, "")
  const work = Effect.gen(function* () {
    for (const file of applied) {
      yield* inTransaction(scratch, scratch.script(bare(file))).pipe(
        Effect.mapError(unusable(`${file.name} can't be replayed`))
      )
    }
    // A table that is made by a migration of the same run is used by nobody before the run has ended.
    const there = yield* read(scratch).pipe(Effect.mapError(unusable("The tables can't be listed")))
    const traces: Array<Trace> = []
    for (const file of pending) {
      const one = yield* Effect.either(
        inTransaction<Trace | undefined>(
          scratch,
          file.transactional
            ? trace(scratch, file, (oid) => !there.has(oid))
            : Effect.as(scratch.script(bare(file)), undefined)
        )
      )
      if (one._tag === "Left") return { traces, failed: file.name }
      if (one.right !== undefined) traces.push(one.right)
    }
    return { traces, failed: undefined }
  })
  return empty(scratch, work)
}

/** What is over the budget. Pure. */
export const findingsOf = ({ file, steps }: Trace): ReadonlyArray<Finding> => {
  if (file.lockReason !== undefined) return []
  const where = (line: number) => `migrations/${file.name}.sql:${line}`
  const finding = (line: number, rule: string, what: string, why: string, fix: string): Finding => ({
    rule,
    severity: "hazard",
    what,
    where: where(line),
    why,
    fix: `${fix} When it must be, say why in the header: "-- lock: the table has 200 rows".`
  })
  const found: Array<Finding> = []
  for (const { line, locks, rewritten, scanned } of steps) {
    if (locks.length === 0) continue
    for (const [tables, does, rule] of [
      [rewritten, "rewrites", "lock-rewrite"],
      [scanned.filter((name) => !rewritten.includes(name)), "reads all of", "lock-scan"]
    ] as const) {
      if (tables.length === 0) continue
      found.push(
        finding(
          line,
          rule,
          `${file.name} ${does} ${tables.join(", ")} while it holds ${locks.join(", ")}.`,
          "The lock lasts until the commit: runners wait for as long as the whole table takes, and everybody behind them.",
          rule === "lock-rewrite"
            ? "Add a new column and fill it in a backfill, then move over."
            : "Add the constraint NOT VALID, or build the index concurrently, and validate it in a later migration of its own."
        )
      )
    }
  }
  const exclusive = [
    ...new Set(
      steps.flatMap(({ locks }) =>
        locks.filter((lock) => lock.startsWith("AccessExclusiveLock ")).map((lock) => lock.split(" ")[1]!)
      )
    )
  ]
  if (exclusive.length > TABLES) {
    found.push(
      finding(
        steps.at(-1)!.line,
        "lock-many",
        `${file.name} locks ${exclusive.length} tables against their readers at once: ${exclusive.sort().join(", ")}.`,
        "It takes them one after the other, as runners do in their own order: each waits for the other, and one of them is cut off.",
        "Make one migration of each table."
      )
    )
  }
  return found
}

/** For the evidence: each file's locks in one line. */
export const describe = ({ file, steps }: Trace): string => {
  const locks = [...new Set(steps.flatMap(({ locks }) => locks))].sort()
  const heavy = [
    ...new Set(
      steps.flatMap(({ rewritten, scanned }) => [
        ...rewritten.map((name) => `rewrites ${name}`),
        ...scanned.filter((name) => !rewritten.includes(name)).map((name) => `scans ${name}`)
      ])
    )
  ]
  return `${file.name}: ${locks.length === 0 ? "none that block" : locks.join(", ")}${heavy.length === 0 ? "" : `; ${heavy.join(", ")}`}${file.lockReason === undefined ? "" : ` (allowed: ${file.lockReason})`}`
}
