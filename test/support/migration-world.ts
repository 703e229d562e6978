/**
 * Small releases, with files and statements of their own, against a real database: for tests of the migration gate.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SqlClient } from "@effect/sql"
import { expect } from "@effect/vitest"
import { Context, Effect, Layer, Schedule, type Scope } from "effect"
import pg from "pg"
import { Database, fromUrl, layer } from "../../src/gates/Database.ts"
import { type Evidence, toText } from "../../src/gates/Evidence.ts"
import { binary } from "../../src/gates/migrations/Lint.ts"
import * as Migrate from "../../src/gates/migrations/Migrate.ts"
import { parse } from "../../src/gates/migrations/MigrationFile.ts"
import { defaultTiming, fromSqlError, type Timing } from "../../src/gates/migrations/State.ts"
import * as Releases from "../../src/gates/Releases.ts"
import type { TestDatabase } from "./database.ts"
import { platformDatabase } from "./migrated-database.ts"

const repository = join(import.meta.dirname, "../..")

export interface Statement {
  readonly name: string
  readonly text: string
  readonly probe?: ReadonlyArray<unknown>
}

/** A release: its files, by name, and the statements that it runs. */
export interface Release {
  readonly release: string
  readonly files: Readonly<Record<string, string>>
  readonly statements: ReadonlyArray<Statement>
}

const records = join(repository, "migrations/0002_release_records.sql")
export const base: Readonly<Record<string, string>> = {
  "0001_notes": `create schema if not exists agents; create schema if not exists cluster;
    create table agents.notes (id bigint primary key, body text not null, author text);
    grant usage on schema agents, cluster to runtime; grant select, insert on agents.notes to runtime;
    alter default privileges in schema cluster grant select on tables to runtime;
    create table agents.runners (runner text primary key, release text not null, carries jsonb not null,
      started_at timestamptz not null default now(), seen_at timestamptz not null default now());`,
  "0002_release_records": await import("node:fs").then(({ readFileSync }) => readFileSync(records, "utf8"))
}
export const up = (sql: string, phase = "expand") => `-- phase: ${phase}\n-- Up Migration\n${sql}\n`
export const readAuthor: Statement = { name: "notes.read", text: "select id, author from agents.notes where id = $1" }
const engineRead: Statement = { name: "cluster.read", text: "select id from cluster_messages where id = $1" }
export const write: Statement = {
  name: "notes.write",
  text: "insert into agents.notes (id, body) values ($1, $2)",
  probe: [1, "sample"]
}
export const bodyOnly: Statement = { name: "notes.body", text: "select body from agents.notes" }

export const old: Release = { release: "old", files: base, statements: [readAuthor, write, engineRead] }
export const next = (
  files: Readonly<Record<string, string>>,
  statements: ReadonlyArray<Statement> = [bodyOnly]
): Release => ({
  release: "new",
  files: { ...base, ...files },
  statements
})
export const dropAuthor = { "0003_drop_author": up("alter table agents.notes drop column author;", "contract") }

const quick: Timing = { ...defaultTiming, lockTimeout: "100 millis", retries: 2, otherMigrator: "20 seconds" }

/** Stands for the library's own migrator: makes its tables when they are missing, as any connection of the owner would. */
const makeEngineTables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe("create table if not exists cluster.cluster_messages (id bigint primary key, payload text)")
}).pipe(Effect.mapError(fromSqlError))

export interface World {
  readonly database: TestDatabase
  readonly run: (
    release: Release,
    options?: {
      readonly mode?: "prove"
      readonly timing?: Partial<Timing>
      /** URL of an empty database. */
      readonly scratch?: string
    }
  ) => Effect.Effect<Evidence, Migrate.Failure>
  readonly deploy: (release: Release) => Effect.Effect<void>
  readonly columns: Effect.Effect<ReadonlyArray<string>>
  readonly as: <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) => Effect.Effect<A, E>
}

export const world: Effect.Effect<World, never, Scope.Scope> = Effect.gen(function* () {
  const database = yield* platformDatabase
  const folder = mkdtempSync(join(tmpdir(), "migrations-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  const connected = layer(yield* Effect.orDie(fromUrl(database.urlOf("migrator")))).pipe(Layer.orDie)
  const squawk = yield* Effect.orDie(binary(repository))
  let count = 0
  const run: World["run"] = ({ release, files, statements }, options) =>
    Effect.suspend(() => {
      const image = mkdtempSync(join(folder, `image-${count++}-`))
      const parsed = Object.entries(files).map(([name, body]) => {
        const path = join(image, `${name}.sql`)
        const content = body.includes("-- phase:") ? body : up(body)
        writeFileSync(path, content)
        return parse(name, path, content)
      })
      return Migrate.run({
        mode: options?.mode ?? "commit",
        release,
        surface: { json: { statements }, decoded: { statements } },
        folder: image,
        files: parsed,
        squawk,
        makeEngineTables,
        scratch:
          options?.scratch === undefined
            ? undefined
            : fromUrl(options.scratch).pipe(
                Effect.flatMap((settings) => Layer.build(layer(settings))),
                Effect.flatMap((context) => Context.get(context, Database).session)
              ),
        timing: { ...quick, ...options?.timing }
      }).pipe(Effect.provide(connected))
    })
  const as: World["as"] = (effect) => Effect.provide(effect, connected)
  return {
    database,
    run,
    as,
    deploy: (release) =>
      Effect.gen(function* () {
        const evidence = yield* run(release)
        expect(evidence.verdict, toText(evidence)).toBe("passed")
        yield* as(Releases.markDeployed({ release: release.release }))
      }).pipe(Effect.orDie),
    columns: database
      .query<{ name: string }>(
        "select column_name as name from information_schema.columns where table_schema = 'agents' and table_name = 'notes' order by 1"
      )
      .pipe(Effect.map((rows) => rows.map(({ name }) => name)))
  }
})

export const rules = (evidence: Evidence) => evidence.findings.map(({ rule }) => rule)
export const appliedIn = (database: TestDatabase) =>
  database
    .query<{ name: string }>("select name from agents.pgmigrations order by id")
    .pipe(Effect.map((rows) => rows.map(({ name }) => name)))

/** Waits for a condition of the database instead of a time. */
export const eventually = (database: TestDatabase, condition: string) =>
  database.query<{ holds: boolean }>(`select (${condition}) as holds`).pipe(
    Effect.filterOrFail(
      (rows) => rows[0]?.holds === true,
      () => "not yet"
    ),
    Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("30 seconds"))),
    Effect.orDie
  )

/** A connection in an open transaction that holds a lock on the notes. */
export const longTransaction = (database: TestDatabase) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: database.url, application_name: "long-report" })
      await client.connect()
      await client.query("begin; select * from agents.notes")
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )
