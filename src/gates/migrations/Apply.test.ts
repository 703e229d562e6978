import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import {
  appliedIn,
  base,
  dropAuthor,
  eventually,
  longTransaction,
  next,
  old,
  rules,
  type Statement,
  up,
  world
} from "../../../test/support/migration-world.ts"

describe("applying a migration", () => {
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
        const index = next({
          "0003_index": `-- phase: expand\n-- transaction: none\n-- unique: notes of one author are not written twice\n-- Up Migration\n${sql}`
        })
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
