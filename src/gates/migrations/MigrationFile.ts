/**
 * One file of `migrations/`, and the rules it must keep by itself, before any database is asked.
 *
 * Header, in comments before the first statement:
 *
 *     -- phase: expand | backfill | contract     required
 *     -- lock: WHY                               a reason to hold a lock longer than the budget (LockTrace.ts)
 *     -- unique: WHY                             why live releases never write a key of its new unique index twice
 *     -- check: WHY                              why no live release writes what its new check refuses
 *     -- batches: N                              one UPDATE or DELETE of at most N rows, run until none is left (Batches.ts)
 *     -- transaction: none                       only for one CREATE, DROP or REINDEX … CONCURRENTLY
 *     -- Up Migration                            node-pg-migrate's mark; forward only, so there is no down part
 */
import { createHash } from "node:crypto"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { Data, Effect } from "effect"
import type { Finding } from "../Evidence.ts"
import { type SqlStatement, split } from "./Sql.ts"

export type Phase = "expand" | "backfill" | "contract"

export interface MigrationFile {
  /** File name without `.sql`: node-pg-migrate's name of the migration. */
  readonly name: string
  readonly path: string
  readonly sql: string
  readonly sha256: string
  readonly phase: Phase | undefined
  readonly transactional: boolean
  /** Why it may hold a blocking lock while it reads or rewrites a table. */
  readonly lockReason?: string | undefined
  /** Why no live release writes a key of its unique index twice. */
  readonly uniqueReason?: string | undefined
  /** Why no live release writes what its new check refuses. */
  readonly checkReason?: string | undefined
  /** A backfill in batches of so many rows; NaN when the header gives no number. */
  readonly batches?: number | undefined
  readonly statements: ReadonlyArray<SqlStatement>
}

/** The folder or a file of it can't be read: a precondition, not a hazard. */
export class MigrationsUnreadable extends Data.TaggedError("MigrationsUnreadable")<{ readonly message: string }> {}

const fileName = /^(\d{4,})_[a-z0-9_]+\.sql$/

/** The number that orders it. */
export const numberOf = (name: string): number => Number(/^\d+/.exec(name)?.[0] ?? Number.NaN)

/** Order as node-pg-migrate has it: by number, then by name. */
export const byNumber = (a: { readonly name: string }, b: { readonly name: string }): number =>
  numberOf(a.name) - numberOf(b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

const commentsOf = (sql: string) => /^(?:\s*--[^\n]*\n?|\s*\n)*/.exec(sql)?.[0] ?? ""
const header = (sql: string, key: string) =>
  new RegExp(`^\\s*--\\s*${key}:\\s*(\\S+)\\s*$`, "im").exec(commentsOf(sql))?.[1]?.toLowerCase()

/** A reason has some words. */
const reason = (sql: string, key: string) =>
  new RegExp(`^\\s*--\\s*${key}:[ \\t]*(\\S.{9,200})$`, "im").exec(commentsOf(sql))?.[1]

/** Reads one file's text. Line ends are made `\n` first, so that a checkout on Windows has the same checksum. */
export const parse = (name: string, path: string, content: string): MigrationFile => {
  const sql = content.replaceAll("\r\n", "\n")
  const phase = header(sql, "phase")
  const batches = header(sql, "batches")
  return {
    name,
    path,
    sql,
    sha256: createHash("sha256").update(sql).digest("hex"),
    phase: phase === "expand" || phase === "backfill" || phase === "contract" ? phase : undefined,
    transactional: header(sql, "transaction") !== "none",
    lockReason: reason(sql, "lock"),
    uniqueReason: reason(sql, "unique"),
    checkReason: reason(sql, "check"),
    batches: batches === undefined ? undefined : /^\d+$/.test(batches) ? Number(batches) : Number.NaN,
    statements: split(sql)
  }
}

/** All migrations of a folder, in order. Fails when the folder is not there, is empty, or holds what no migrator reads. */
export const readFolder = (folder: string): Effect.Effect<ReadonlyArray<MigrationFile>, MigrationsUnreadable> =>
  Effect.gen(function* () {
    const names = yield* Effect.tryPromise({
      try: async () => (await readdir(folder)).filter((name) => !name.startsWith(".")),
      catch: (cause) =>
        new MigrationsUnreadable({
          message:
            `The migrations of this release can't be read from ${folder}: ${cause instanceof Error ? cause.message : cause}. ` +
            "They belong into the image, beside deliver.js; AGENT_IMAGE_ROOT names another folder."
        })
    })
    const stranger = names.find((name) => !fileName.test(name))
    if (names.length === 0 || stranger !== undefined) {
      return yield* new MigrationsUnreadable({
        message:
          stranger === undefined
            ? `${folder} holds no migration, so this release says nothing about its schema. The image was built wrongly.`
            : `${join(folder, stranger)} is not named like a migration (0004_add_region.sql: number, words in lower case, .sql). Rename or move it.`
      })
    }
    const files = yield* Effect.forEach(names, (name) =>
      Effect.tryPromise({
        try: async () =>
          parse(name.slice(0, -".sql".length), join(folder, name), await readFile(join(folder, name), "utf8")),
        catch: (cause) =>
          new MigrationsUnreadable({
            message: cause instanceof Error ? cause.message : `${join(folder, name)}: ${cause}`
          })
      })
    )
    return files.sort(byNumber)
  })

const hazard = (
  file: MigrationFile,
  line: number | undefined,
  parts: Omit<Finding, "severity" | "where">
): Finding => ({
  ...parts,
  severity: "hazard",
  where: `migrations/${file.name}.sql${line === undefined ? "" : `:${line}`}`
})

const transactionControl =
  /^(begin|start transaction|commit|end|rollback|abort|savepoint|release|prepare transaction)\b/
const concurrently = /\bconcurrently\b/
const resumable =
  /^(create (unique )?index concurrently if not exists|drop index concurrently if exists|reindex \w+ concurrently)\b/
/** The library's tables, by schema or by name, also inside of `do` bodies. */
const engine =
  /\bcluster\s*\.|"cluster"|\bcluster_(messages|replies|runners|locks|migrations)\b|\bschema (if exists )?cluster\b/
const harmlessToEngine = /^(grant|revoke|alter default privileges|create schema if not exists)\b/

const fills = /^(update|delete from|merge into|truncate)\b/
const defines = /^(alter table|drop table|drop column|create table|alter type|drop type|rename)\b/

/** What a phase promises and the statement breaks. */
const phaseFinding = (file: MigrationFile, statement: SqlStatement): ReadonlyArray<Finding> => {
  if (file.phase === "expand" && fills.test(statement.words)) {
    return [
      hazard(file, statement.line, {
        rule: "phase-expand",
        what: `${file.name} is an expand step and changes rows (${statement.words.slice(0, 40)}).`,
        why: "Its locks on the schema are held until the last row is written: everybody waits for it.",
        fix: 'Put it in a file of its own, behind this one, with "-- phase: backfill".'
      })
    ]
  }
  if (file.phase === "backfill" && defines.test(statement.words)) {
    return [
      hazard(file, statement.line, {
        rule: "phase-backfill",
        what: `${file.name} is a backfill and changes the schema (${statement.words.slice(0, 40)}).`,
        why: "A backfill may take long; a lock on the schema that is taken in it is held as long.",
        fix: "Put it in a file of its own: expand before the backfill when it adds, contract behind it when it takes away."
      })
    ]
  }
  return []
}

/** More rows than this in one transaction are no short one. */
export const LARGEST_BATCH = 10_000

/** What would keep a backfill in batches from ending, from ending whole, or from staying short. */
const batchFindings = (file: MigrationFile): ReadonlyArray<Finding> => {
  if (file.batches === undefined) return []
  const [statement, ...others] = file.statements
  const words = statement?.words ?? ""
  const finding = (what: string, why: string, fix: string) => [
    hazard(file, statement?.line, { rule: "batches", what: `${file.name} ${what}`, why, fix })
  ]
  if (!(file.batches >= 1 && file.batches <= LARGEST_BATCH)) {
    return finding(
      "does not say how many rows a batch has.",
      "A batch is one short transaction: runners wait for the rows that it has changed until it ends.",
      `Write "-- batches: N" with N from 1 to ${LARGEST_BATCH}.`
    )
  }
  if (file.phase !== "backfill" || !file.transactional) {
    return finding(
      "is run in batches, but is no backfill.",
      "Only rows can be changed a few at a time; a schema changes at once.",
      'Give it "-- phase: backfill", or remove "-- batches".'
    )
  }
  if (others.length > 0 || !/^(update|delete from|with)\b/.test(words) || !/\b(update|delete from)\b/.test(words)) {
    return finding(
      "is run in batches, but is not one UPDATE or DELETE.",
      "It runs until it changes no row: nothing else says of itself when it is done, or may be run again after a kill.",
      "One statement: update … where id in (select id … where not yet done order by id limit N)."
    )
  }
  if (!new RegExp(`\\blimit ${file.batches}\\b`).test(words)) {
    return finding(
      `changes rows in batches without "limit ${file.batches}".`,
      "Its first batch would change every row in one transaction, and have runners wait for all of them.",
      `Choose the rows of a batch in a subquery that ends with "limit ${file.batches}", as the header says.`
    )
  }
  return /\bskip locked\b/.test(words)
    ? finding(
        "leaves out rows that somebody has locked.",
        "A batch that finds nothing else would count as the last one, and those rows would stay as they were for ever.",
        'Remove "skip locked": the migrator waits for a lock briefly, and tries the batch again.'
      )
    : []
}

/** What is wrong with a file that is about to be applied for the first time. */
export const findingsOf = (file: MigrationFile): ReadonlyArray<Finding> => [
  ...(file.phase === undefined
    ? [
        hazard(file, undefined, {
          rule: "phase-header",
          what: `${file.name} does not say its phase.`,
          why: "The phase tells a reader and the linter what it may do: expand adds, backfill fills, contract takes away.",
          fix: 'Put "-- phase: expand" (or backfill, or contract) on its first line.'
        })
      ]
    : []),
  ...(/^\s*--[\s-]*down\s+migration/im.test(file.sql)
    ? [
        hazard(file, undefined, {
          rule: "forward-only",
          what: `${file.name} has a down part.`,
          why: "It would never run: a rollback changes the code and leaves the schema, which every release has been proven against.",
          fix: "Remove the down part. To undo a migration, write the next one."
        })
      ]
    : []),
  ...(file.statements.length === 0
    ? [
        hazard(file, undefined, {
          rule: "empty-migration",
          what: `${file.name} holds no statement.`,
          why: "An empty file that is filled later counts as edited history in every database it was applied to.",
          fix: "Delete it, or write what it is for."
        })
      ]
    : []),
  ...batchFindings(file),
  ...file.statements.flatMap((statement) => [
    ...phaseFinding(file, statement),
    ...(transactionControl.test(statement.words)
      ? [
          hazard(file, statement.line, {
            rule: "own-transaction",
            what: `${file.name} controls its own transaction (${statement.words.slice(0, 40)}).`,
            why: "Each migration runs in one transaction that is committed only after every running release's statements still work. Ending it early would skip that.",
            fix: "Remove the statement; the migrator begins and commits."
          })
        ]
      : []),
    ...(engine.test(statement.words) && !harmlessToEngine.test(statement.words)
      ? [
          hazard(file, statement.line, {
            rule: "engine-tables",
            what: `${file.name} touches the workflow engine's tables (schema cluster).`,
            why: "They belong to the library: its next version alters them, and a change of ours would break it, or the executions in them.",
            fix: "Keep what you need in schema agents. Tables of the engine change by updating the library only."
          })
        ]
      : []),
    ...(concurrently.test(statement.words) && file.transactional
      ? [
          hazard(file, statement.line, {
            rule: "concurrently-alone",
            what: `${file.name} builds or drops an index concurrently inside of a transaction.`,
            why: "Postgres refuses CONCURRENTLY in a transaction.",
            fix: 'Give it a file of its own with the header "-- transaction: none".'
          })
        ]
      : [])
  ]),
  ...(!file.transactional && (file.statements.length !== 1 || !resumable.test(file.statements[0]!.words))
    ? [
        hazard(file, file.statements[0]?.line, {
          rule: "resumable",
          what: `${file.name} runs outside of a transaction, but is not one resumable statement.`,
          why: "When it is killed in the middle, nothing is rolled back, and it runs again from its start.",
          fix: 'One statement alone: "create index concurrently if not exists …", "drop index concurrently if exists …" or "reindex index concurrently …".'
        })
      ]
    : [])
]
