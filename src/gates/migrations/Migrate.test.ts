import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  appliedIn,
  base,
  dropAuthor,
  next,
  old,
  rules,
  type Statement,
  up,
  world
} from "../../../test/support/migration-world.ts"
import { Database, fromUrl, layer } from "../Database.ts"
import * as State from "./State.ts"

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

  it.scopedLive(
    "takes what an earlier transaction of its session probed and rolled back for no change of the engine",
    () =>
      Effect.gen(function* () {
        const { database, deploy } = yield* world
        yield* deploy(old)
        const connection = layer(yield* fromUrl(database.url))
        yield* Effect.gen(function* () {
          const session = yield* Effect.flatMap(Database, ({ session }) => session)
          yield* session.script("select 1")
          yield* session.script("begin; insert into cluster.cluster_messages values (1); rollback")
          const first = yield* State.engineFingerprint(session)
          // What Postgres does by itself when a second is over.
          yield* session.script("select pg_stat_force_next_flush()")
          expect(yield* State.engineFingerprint(session)).toBe(first)
          yield* session.script("begin; insert into cluster.cluster_messages values (1)")
          expect(yield* State.engineFingerprint(session)).not.toBe(first)
          yield* session.script("rollback")
        }).pipe(Effect.scoped, Effect.provide(connection))
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
})
