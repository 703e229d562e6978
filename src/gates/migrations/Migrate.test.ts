import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule, type Scope } from "effect"
import pg from "pg"
import type { TestDatabase } from "../../../test/support/database.ts"
import { platformDatabase } from "../../../test/support/migrated-database.ts"
import { fromUrl, layer } from "../Database.ts"
import { type Evidence, toText } from "../Evidence.ts"
import * as Releases from "../Releases.ts"
import { binary } from "./Lint.ts"
import * as Migrate from "./Migrate.ts"
import { parse } from "./MigrationFile.ts"
import { defaultTiming, fromSqlError, type Timing } from "./State.ts"

const repository = join(import.meta.dirname, "../../..")

interface Statement {
  readonly name: string
  readonly text: string
  readonly probe?: ReadonlyArray<unknown>
}

/** A release: its files, by name, and the statements that it runs. */
interface Release {
  readonly release: string
  readonly files: Readonly<Record<string, string>>
  readonly statements: ReadonlyArray<Statement>
}

const records = join(repository, "migrations/0002_release_records.sql")
const base: Readonly<Record<string, string>> = {
  "0001_notes": `create schema if not exists agents; create schema if not exists cluster;
    create table agents.notes (id bigint primary key, body text not null, author text);
    grant usage on schema agents, cluster to runtime; grant select, insert on agents.notes to runtime;
    alter default privileges in schema cluster grant select on tables to runtime;
    create table agents.runners (runner text primary key, release text not null, carries jsonb not null,
      started_at timestamptz not null default now(), seen_at timestamptz not null default now());`,
  "0002_release_records": await import("node:fs").then(({ readFileSync }) => readFileSync(records, "utf8"))
}
const up = (sql: string, phase = "expand") => `-- phase: ${phase}\n-- Up Migration\n${sql}\n`
const readAuthor: Statement = { name: "notes.read", text: "select id, author from agents.notes where id = $1" }
const engineRead: Statement = { name: "cluster.read", text: "select id from cluster_messages where id = $1" }
const write: Statement = {
  name: "notes.write",
  text: "insert into agents.notes (id, body) values ($1, $2)",
  probe: [1, "sample"]
}
const bodyOnly: Statement = { name: "notes.body", text: "select body from agents.notes" }

const old: Release = { release: "old", files: base, statements: [readAuthor, write, engineRead] }
const next = (files: Readonly<Record<string, string>>, statements: ReadonlyArray<Statement> = [bodyOnly]): Release => ({
  release: "new",
  files: { ...base, ...files },
  statements
})
const dropAuthor = { "0003_drop_author": up("alter table agents.notes drop column author;", "contract") }

const quick: Timing = { ...defaultTiming, lockTimeout: "100 millis", retries: 2, otherMigrator: "20 seconds" }

/** Stands for the library's own migrator: makes its tables when they are missing, as any connection of the owner would. */
const makeEngineTables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe("create table if not exists cluster.cluster_messages (id bigint primary key, payload text)")
}).pipe(Effect.mapError(fromSqlError))

interface World {
  readonly database: TestDatabase
  readonly run: (
    release: Release,
    options?: { readonly mode?: "prove"; readonly timing?: Partial<Timing> }
  ) => Effect.Effect<Evidence, Migrate.Failure>
  readonly deploy: (release: Release) => Effect.Effect<void>
  readonly columns: Effect.Effect<ReadonlyArray<string>>
  readonly as: <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) => Effect.Effect<A, E>
}

const world: Effect.Effect<World, never, Scope.Scope> = Effect.gen(function* () {
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

const rules = (evidence: Evidence) => evidence.findings.map(({ rule }) => rule)
const appliedIn = (database: TestDatabase) =>
  database
    .query<{ name: string }>("select name from agents.pgmigrations order by id")
    .pipe(Effect.map((rows) => rows.map(({ name }) => name)))

/** Waits for a condition of the database instead of a time. */
const eventually = (database: TestDatabase, condition: string) =>
  database.query<{ holds: boolean }>(`select (${condition}) as holds`).pipe(
    Effect.filterOrFail(
      (rows) => rows[0]?.holds === true,
      () => "not yet"
    ),
    Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("10 seconds"))),
    Effect.orDie
  )

/** A connection in an open transaction that holds a lock on the notes. */
const longTransaction = (database: TestDatabase) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: database.url, application_name: "long-report" })
      await client.connect()
      await client.query("begin; select * from agents.notes")
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )

describe("migrate up", () => {
  it.scopedLive("brings an empty database to the first release, as the role migrator", () =>
    Effect.gen(function* () {
      const { database, run } = yield* world
      const evidence = yield* run(old)
      expect(evidence).toMatchObject({ verdict: "passed", gate: "migrations", release: "old" })
      expect(yield* appliedIn(database)).toEqual(["0001_notes", "0002_release_records"])
      expect(
        yield* database.query("select name, length(sha256) as n from agents.migration_checksums order by 1")
      ).toEqual([
        { name: "0001_notes", n: 64 },
        { name: "0002_release_records", n: 64 }
      ])
      expect(yield* database.query("select release, state from agents.releases")).toEqual([
        { release: "old", state: "deploying" }
      ])
      expect(yield* database.query("select gate, verdict from agents.evidence")).toEqual([
        { gate: "migrations", verdict: "passed" }
      ])
    })
  )

  it.scopedLive("refuses to drop a column that a deployed release still reads, and leaves the schema as it was", () =>
    Effect.gen(function* () {
      const { database, run, deploy, columns } = yield* world
      yield* deploy(old)
      const evidence = yield* run(next(dropAuthor))
      expect(evidence.verdict).toBe("refused")
      expect(evidence.findings).toHaveLength(1)
      const [finding] = evidence.findings
      expect(finding).toMatchObject({ rule: "statement-broken", severity: "hazard" })
      expect(finding?.what).toBe(
        "0003_drop_author would break statement notes.read, which release old (deployed) still runs."
      )
      expect(finding?.detail).toContain('column "author" does not exist (42703)')
      expect(yield* columns).toEqual(["author", "body", "id"])
      expect(yield* appliedIn(database)).toEqual(["0001_notes", "0002_release_records"])
      expect(yield* database.query("select release from agents.releases")).toEqual([{ release: "old" }])
    })
  )

  it.scopedLive("applies the same drop once no release that reads the column may run any more", () =>
    Effect.gen(function* () {
      const { run, deploy, columns } = yield* world
      yield* deploy(old)
      yield* deploy({ ...next({}), release: "middle" })
      expect((yield* run(next(dropAuthor))).verdict).toBe("refused")
      yield* deploy({ ...next({}), release: "middle-2" })
      expect((yield* run(next(dropAuthor))).verdict).toBe("passed")
      expect(yield* columns).toEqual(["body", "id"])
    })
  )

  it.scopedLive("counts a retired release while one of its runners lives, and not a runner that is long gone", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      for (const release of ["a", "b"]) yield* deploy({ ...next({}), release })
      yield* database.query("insert into agents.runners (runner, release, carries) values ('pod-0', 'old', '{}')")
      const refused = yield* run(next(dropAuthor))
      expect(refused.findings[0]?.what).toContain("release old (1 live runner(s))")
      yield* database.query("update agents.runners set seen_at = now() - interval '1 hour'")
      expect((yield* run(next(dropAuthor))).verdict).toBe("passed")
    })
  )

  it.scopedLive("is undecided when a live runner carries a release that nobody recorded", () =>
    Effect.gen(function* () {
      const { database, run, deploy, columns } = yield* world
      yield* deploy(old)
      yield* database.query("insert into agents.runners (runner, release, carries) values ('pod-0', 'stranger', '{}')")
      const evidence = yield* run(next(dropAuthor))
      expect(evidence).toMatchObject({ verdict: "undecided", findings: [{ rule: "release-unknown" }] })
      expect(yield* columns).toContain("author")
    })
  )

  it.scopedLive("names every statement that would break, of every release, not only the first", () =>
    Effect.gen(function* () {
      const { run, deploy } = yield* world
      yield* deploy(old)
      const also: Statement = { name: "notes.by-author", text: "select 1 from agents.notes where author = $1" }
      yield* deploy({ release: "middle", files: base, statements: [also] })
      const evidence = yield* run(next(dropAuthor))
      expect(evidence.findings.map(({ where }) => where)).toEqual([
        "migrations/0003_drop_author.sql, statement notes.read",
        "migrations/0003_drop_author.sql, statement notes.by-author"
      ])
    })
  )

  it.scopedLive(
    "refuses a column that an old release's insert would leave empty: planning it would not show that",
    () =>
      Effect.gen(function* () {
        const { run, deploy, columns } = yield* world
        yield* deploy(old)
        const required = up(
          "-- squawk-ignore adding-required-field\nalter table agents.notes add column region text not null;"
        )
        const evidence = yield* run(next({ "0003_region": required }))
        expect(evidence).toMatchObject({ verdict: "refused", findings: [{ rule: "write-broken" }] })
        expect(evidence.findings[0]?.detail).toContain("violates not-null constraint")
        expect(yield* columns).not.toContain("region")
      })
  )

  it.scopedLive("does not blame a migration for what was broken before it, but says so", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      yield* database.query("alter table agents.notes rename column author to writer")
      const evidence = yield* run(next({ "0003_more": up("alter table agents.notes add column more text;") }))
      expect(evidence).toMatchObject({ verdict: "passed", findings: [{ rule: "broken-before", severity: "note" }] })
    })
  )

  it.scopedLive("refuses a release whose own statement its migrations do not serve", () =>
    Effect.gen(function* () {
      const { run, deploy, columns } = yield* world
      yield* deploy(old)
      const own: Statement = { name: "notes.tags", text: "select tags from agents.notes" }
      const evidence = yield* run(next({ "0003_tag": up("alter table agents.notes add column tag text;") }, [own]))
      expect(evidence).toMatchObject({ verdict: "refused", findings: [{ rule: "own-statement" }] })
      expect(yield* columns).not.toContain("tag")
    })
  )

  it.scopedLive(
    "refuses a new table that the runners were not granted, and a right that is taken from an old release",
    () =>
      Effect.gen(function* () {
        const { run, deploy } = yield* world
        yield* deploy(old)
        const tags: Statement = { name: "tags.read", text: "select tag from agents.tags" }
        const table = "create table agents.tags (tag text primary key);"
        const forgotten = yield* run(next({ "0003_tags": up(table) }, [tags]))
        expect(forgotten).toMatchObject({ verdict: "refused", findings: [{ rule: "own-statement" }] })
        expect(forgotten.findings[0]?.detail).toContain("permission denied for table tags (42501)")
        const revoked = yield* run(next({ "0003_no": up("revoke insert on agents.notes from runtime;", "contract") }))
        expect(revoked).toMatchObject({ verdict: "refused", findings: [{ rule: "right-lost" }] })
        const granted = up(`${table} grant select on agents.tags to runtime;`)
        expect((yield* run(next({ "0003_tags": granted }, [tags]))).verdict).toBe("passed")
      })
  )

  it.scopedLive("refuses a history that was edited, and changes nothing", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      const evidence = yield* run(next({ "0001_notes": `${base["0001_notes"]}\nselect 1;`, ...dropAuthor }))
      expect(evidence.verdict).toBe("refused")
      expect(rules(evidence)).toEqual(["history-edited"])
      expect(yield* appliedIn(database)).toHaveLength(2)
    })
  )

  it.scopedLive("does nothing for an older image, and passes while the schema still carries it", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      yield* deploy(next({ "0003_more": up("alter table agents.notes add column more text;") }))
      expect(yield* run(old)).toMatchObject({ verdict: "passed" })
      expect(yield* appliedIn(database)).toHaveLength(3)
      expect(yield* database.query("select release, state from agents.releases order by 1")).toEqual([
        { release: "new", state: "deployed" },
        { release: "old", state: "rollback-choice" }
      ])
    })
  )

  it.scopedLive("refuses to bring back an image that the schema no longer carries", () =>
    Effect.gen(function* () {
      const { run, deploy } = yield* world
      yield* deploy(old)
      for (const release of ["a", "b"]) yield* deploy({ ...next({}), release })
      yield* deploy(next(dropAuthor))
      const evidence = yield* run(old)
      expect(evidence.verdict).toBe("refused")
      expect(evidence.findings[0]?.what).toBe(
        "Statement notes.read of this release does not work with the schema of this database."
      )
    })
  )

  it.scopedLive("refuses a migration that reaches the engine's tables by a way that its text does not show", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      for (const sql of [
        "execute 'alter table clus' || 'ter.clus' || 'ter_messages add column mine text'",
        "execute 'insert into clus' || 'ter.clus' || 'ter_messages values (1)'"
      ]) {
        const evidence = yield* run(next({ "0003_sly": up(`do $$ begin ${sql}; end $$;`) }))
        expect(evidence).toMatchObject({ verdict: "refused", findings: [{ rule: "engine-tables" }] })
      }
      expect(yield* database.query("select * from cluster.cluster_messages")).toEqual([])
    })
  )

  it.scopedLive("refuses what the linter knows to be dangerous, and accepts a drop only in a contract step", () =>
    Effect.gen(function* () {
      const { run, deploy } = yield* world
      yield* deploy(old)
      const evidence = yield* run(next({ "0003_drop": up("alter table agents.notes drop column body;", "expand") }))
      expect(evidence.verdict).toBe("refused")
      expect(rules(evidence)).toEqual(["squawk/ban-drop-column"])
      expect(evidence.findings[0]?.where).toBe("migrations/0003_drop.sql:3")
    })
  )

  it.scopedLive("keeps what was proven before a later migration fails, and rolls that one back as a whole", () =>
    Effect.gen(function* () {
      const { database, run, deploy, columns } = yield* world
      yield* deploy(old)
      const evidence = yield* run(
        next({
          "0003_more": up("alter table agents.notes add column more text;"),
          "0004_bad": up("alter table agents.notes add column half text; select 1 / 0;")
        })
      )
      expect(evidence).toMatchObject({ verdict: "refused", findings: [{ rule: "migration-failed" }] })
      expect(evidence.findings[0]?.detail).toBe("division by zero (22012)")
      expect(yield* columns).toEqual(["author", "body", "id", "more"])
      expect(yield* appliedIn(database)).toEqual(["0001_notes", "0002_release_records", "0003_more"])
    })
  )

  it.scopedLive("gives up behind a long transaction, names it, and applies when it has ended", () =>
    Effect.gen(function* () {
      const { database, run, deploy, columns } = yield* world
      yield* deploy(old)
      const more = next({ "0003_more": up("alter table agents.notes add column more text;") })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* longTransaction(database)
          const evidence = yield* run(more)
          expect(evidence).toMatchObject({ verdict: "refused", findings: [{ rule: "lock-not-obtained" }] })
          expect(evidence.findings[0]?.what).toBe("0003_more did not get its locks in 3 tries.")
          expect(evidence.findings[0]?.detail).toContain("long-report, pid ")
          expect(yield* columns).not.toContain("more")
        })
      )
      expect((yield* run(more)).verdict).toBe("passed")
    })
  )

  it.scopedLive("tries again while a transaction is in the way", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      const client = yield* longTransaction(database)
      const migrator = yield* Effect.fork(
        run(next({ "0003_more": up("alter table agents.notes add column more text;") }), { timing: { retries: 50 } })
      )
      yield* eventually(
        database,
        "exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.application_name = 'deliver' and a.datname = current_database())"
      )
      yield* Effect.promise(() => client.query("rollback"))
      expect((yield* Fiber.join(migrator)).verdict).toBe("passed")
    })
  )

  it.scopedLive("lets one of two migrators work at a time: the second finds nothing left to do", () =>
    Effect.gen(function* () {
      const { database, run } = yield* world
      const both = yield* Effect.all([run(old), run(old)], { concurrency: 2 })
      expect(both.map(({ verdict }) => verdict)).toEqual(["passed", "passed"])
      expect(both.map(({ summary }) => summary).sort()).toEqual(["2 migration(s) applied.", "Nothing to apply."])
      expect(yield* appliedIn(database)).toEqual(["0001_notes", "0002_release_records"])
    })
  )

  it.scopedLive("says that another migrator is at work when it does not end in time", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      const client = yield* longTransaction(database)
      yield* Effect.promise(() => client.query("select pg_advisory_lock(7241865325823964)"))
      const failed = yield* Effect.flip(run(old, { timing: { otherMigrator: "200 millis" } }))
      expect(failed._tag).toBe("MigratorBusy")
    })
  )

  it.scopedLive("leaves nothing half done when its session is killed in the middle", () =>
    Effect.gen(function* () {
      const { database, run, deploy, columns } = yield* world
      yield* deploy(old)
      const slow = up("alter table agents.notes add column more text; select pg_sleep(60);")
      const killed = yield* Effect.fork(Effect.flip(run(next({ "0003_slow": slow }))))
      const sleeping = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
      yield* eventually(database, `exists (${sleeping})`)
      yield* database.query(`select pg_terminate_backend(pid) from (${sleeping}) s`)
      expect(yield* Fiber.join(killed)).toMatchObject({ _tag: "StatementFailed", code: "57P01" })
      expect(yield* columns).toEqual(["author", "body", "id"])
      expect(yield* appliedIn(database)).toHaveLength(2)
      expect((yield* run(next({ "0003_slow": slow.replace("60", "0") }))).verdict).toBe("passed")
    })
  )

  it.scopedLive(
    "builds an index concurrently outside of a transaction, and again after a build that was cut short",
    () =>
      Effect.gen(function* () {
        const { database, run, deploy } = yield* world
        yield* deploy(old)
        yield* database.query("insert into agents.notes values (1, 'a', 'x'), (2, 'b', 'x')")
        const sql = "create unique index concurrently if not exists notes_author on agents.notes (author);"
        const index = next({ "0003_index": `-- phase: expand\n-- transaction: none\n-- Up Migration\n${sql}` })
        const evidence = yield* run(index)
        expect(evidence).toMatchObject({ verdict: "refused", findings: [{ rule: "migration-failed" }] })
        expect(JSON.stringify(evidence)).not.toContain("(author)=(x)")
        yield* database.query("delete from agents.notes where id = 2")
        expect((yield* run(index)).verdict).toBe("passed")
        expect(
          yield* database.query("select indisvalid from pg_index where indexrelid = 'agents.notes_author'::regclass")
        ).toEqual([{ indisvalid: true }])
      })
  )

  it.scopedLive("refuses to drop concurrently an index that an upsert needs", () =>
    Effect.gen(function* () {
      const { database, run } = yield* world
      const upsert: Statement = {
        name: "notes.upsert",
        text: "insert into agents.notes (id, body) values ($1, $2) on conflict (author) do nothing"
      }
      const withIndex = {
        ...base,
        "0001_notes": `${base["0001_notes"]} create unique index notes_author on agents.notes (author);`
      }
      expect((yield* run({ release: "old", files: withIndex, statements: [upsert] })).verdict).toBe("passed")
      const drop = `-- phase: contract\n-- transaction: none\n-- Up Migration\ndrop index concurrently if exists agents.notes_author;`
      const evidence = yield* run({
        release: "new",
        files: { ...withIndex, "0003_drop": drop },
        statements: []
      })
      expect(evidence).toMatchObject({ verdict: "refused", findings: [{ rule: "statement-broken" }] })
      expect(yield* database.query("select to_regclass('agents.notes_author') is not null as there")).toEqual([
        { there: true }
      ])
    })
  )
})

describe("gate migrations", () => {
  it.scopedLive("proves all new migrations together and commits none of them", () =>
    Effect.gen(function* () {
      const { database, run, deploy, columns } = yield* world
      yield* deploy(old)
      const files = {
        "0003_more": up("alter table agents.notes add column more text;"),
        "0004_index": `-- phase: expand\n-- transaction: none\n-- Up Migration\ncreate index concurrently if not exists notes_more on agents.notes (more);`
      }
      const needsMore: Statement = { name: "notes.more", text: "select more from agents.notes" }
      const evidence = yield* run(next(files, [needsMore]), { mode: "prove" })
      expect(evidence).toMatchObject({
        verdict: "passed",
        findings: [{ rule: "concurrently-not-run", severity: "note" }]
      })
      expect(yield* columns).toEqual(["author", "body", "id"])
      expect(yield* appliedIn(database)).toHaveLength(2)
      expect(yield* database.query("select release from agents.releases")).toEqual([{ release: "old" }])
      const drop = yield* run(next({ ...files, "0005_drop": dropAuthor["0003_drop_author"] }), { mode: "prove" })
      expect(rules(drop)).toEqual(["statement-broken"])
      expect(drop.findings[0]?.what).toContain("0005_drop would break statement notes.read")
    })
  )

  it.scopedLive("leaves an empty database empty", () =>
    Effect.gen(function* () {
      const { database, run } = yield* world
      const evidence = yield* run(old, { mode: "prove" })
      expect(evidence.verdict).toBe("passed")
      expect(yield* database.query("select to_regnamespace('agents') as found")).toEqual([{ found: null }])
    })
  )

  it.scopedLive("is undecided about a migration that would hold its locks for long", () =>
    Effect.gen(function* () {
      const { run, deploy } = yield* world
      yield* deploy(old)
      const evidence = yield* run(next({ "0003_slow": up("select pg_sleep(60);") }), {
        mode: "prove",
        timing: { proofTimeout: "200 millis" }
      })
      expect(evidence).toMatchObject({ verdict: "undecided", findings: [{ rule: "proof-took-too-long" }] })
    })
  )
})
