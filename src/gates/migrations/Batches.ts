/**
 * A backfill in batches: one statement that changes at most N rows, run in a short transaction of its own until it changes none.
 *
 * What is left is read from the rows themselves, so a run that was killed goes on behind its last batch (ADR 0018). The file
 * counts as applied only behind the last one: `Migrate.ts` then runs it once more, with node-pg-migrate's row.
 */
import { Duration, Effect } from "effect"
import type { Session, StatementFailed } from "../Database.ts"
import type { Finding } from "../Evidence.ts"
import { FileFailed } from "./Apply.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import { Refused } from "./Refused.ts"

export interface Done {
  readonly batches: number
  readonly rows: number
  readonly longestMillis: number
}

export interface Options<E, R> {
  readonly session: Session
  readonly file: MigrationFile
  /** A batch that takes longer is given up, and the file with it. */
  readonly batchTimeout: Duration.DurationInput
  /** The last word in each batch's transaction; `first` tells the first one of this run. */
  readonly beforeCommit: (first: boolean) => Effect.Effect<void, E, R>
  /** Tries a batch again that met a lock. */
  readonly patiently: <A>(
    batch: Effect.Effect<A, E | Refused | FileFailed | StatementFailed, R>
  ) => Effect.Effect<A, Refused | StatementFailed, R>
}

const refused = (file: MigrationFile, parts: Omit<Finding, "severity" | "where">) =>
  new Refused({ findings: [{ ...parts, severity: "hazard", where: `migrations/${file.name}.sql` }] })

const tooMany = (file: MigrationFile, rows: number) =>
  refused(file, {
    rule: "batch-too-large",
    what: `A batch of ${file.name} changed ${rows} rows, and its header says at most ${file.batches}.`,
    why: "Runners wait for rows that a batch has changed until it ends. It was rolled back; batches before it stay.",
    fix: "Let the limit hold for the rows that are changed: choose them by their primary key."
  })

const tooLong = (file: MigrationFile, timeout: Duration.DurationInput) =>
  refused(file, {
    rule: "batch-too-long",
    what: `A batch of ${file.name} took longer than ${Duration.toSeconds(timeout)} s.`,
    why: "Runners wait for rows that a batch has changed until it ends. It was rolled back; batches before it stay.",
    fix: "Make the batches smaller, or first build an index (concurrently, in a file of its own) on what is not yet done."
  })

const endless = (file: MigrationFile, rows: number, table: string) =>
  refused(file, {
    rule: "batches-endless",
    what: `${file.name} has changed ${rows} rows, more than twice what ${table} holds, and still finds some.`,
    why: "It finds again what it has changed, so it would never end. What it changed stays.",
    fix: "Let its condition be false for a row that is done (where new_column is null), in a new file."
  })

/** The table that an update changes, for the bound on its work. A delete ends by itself. */
const updated = (file: MigrationFile) => /\bupdate (?:only )?([\w.]+)/.exec(file.statements[0]?.words ?? "")?.[1]

const one = <E, R>({ session, file, batchTimeout, beforeCommit }: Options<E, R>, first: boolean) =>
  Effect.gen(function* () {
    yield* session.script(`begin; set local statement_timeout = ${Duration.toMillis(batchTimeout)}`)
    const { rowCount } = yield* Effect.tryPromise({
      try: () => session.client.query(file.statements[0]?.text ?? ""),
      catch: (cause) =>
        new FileFailed({
          code: typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "",
          message: cause instanceof Error ? cause.message : String(cause)
        })
    }).pipe(
      Effect.catchIf(
        ({ code }) => code === "57014",
        () => tooLong(file, batchTimeout)
      )
    )
    const rows = rowCount ?? 0
    if (rows > (file.batches ?? 0)) return yield* tooMany(file, rows)
    yield* session.script("set local statement_timeout = 0")
    yield* beforeCommit(first)
    yield* session.script("commit")
    return rows
  }).pipe(Effect.onError(() => Effect.ignore(session.script("rollback"))))

/** Runs batches until one changes nothing. Killed anywhere, at most the batch under way is taken back. */
export const run = <E, R>(options: Options<E, R>): Effect.Effect<Done, Refused | StatementFailed, R> =>
  Effect.gen(function* () {
    const { session, file } = options
    const table = updated(file)
    let done: Done = { batches: 0, rows: 0, longestMillis: 0 }
    let bound = 2 * (file.batches ?? 0)
    for (;;) {
      const began = performance.now()
      const changed = yield* options.patiently(one(options, done.batches === 0))
      if (changed === 0) return done
      done = {
        batches: done.batches + 1,
        rows: done.rows + changed,
        longestMillis: Math.max(done.longestMillis, Math.round(performance.now() - began))
      }
      if (table !== undefined && done.rows > bound) {
        // Counted only now: most backfills end before, and the count reads the whole table.
        const [row] = yield* session.query<{ rows: string }>(`select count(*) as rows from ${table}`)
        bound = 2 * (Number(row?.rows ?? 0) + (file.batches ?? 0))
        if (done.rows > bound) return yield* endless(file, done.rows, table)
      }
    }
  })

/** For the evidence. */
export const describe = ({ batches, rows, longestMillis }: Done) =>
  batches === 0 ? "nothing was left to change" : `${rows} rows in ${batches} batches, the longest ${longestMillis} ms`
