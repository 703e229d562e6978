import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { migratedDatabase, platformDatabase } from "../../../test/support/migrated-database.ts"
import { next, old, up, world } from "../../../test/support/migration-world.ts"
import { Database, fromUrl, layer } from "../Database.ts"
import { drift, live, replayed } from "./Drift.ts"
import { readFolder } from "./MigrationFile.ts"

const more = { "0003_more": up("alter table agents.notes add column more text;") }

describe("drift", () => {
  it.scopedLive("lets a schema pass that is what its history makes, and leaves the scratch database empty", () =>
    Effect.gen(function* () {
      const { run, deploy } = yield* world
      const scratch = yield* platformDatabase
      yield* deploy(old)
      yield* deploy({ ...next(more), release: "middle" })
      const evidence = yield* run(next(more), { mode: "prove", scratch: scratch.urlOf("migrator") })
      expect(evidence.findings).toEqual([])
      const check = evidence.checks.find(({ name }) => name === "drift")
      expect(check?.result).toMatch(/^[1-9]\d* definitions of the live schema against 3 migrations replayed: 0 differ$/)
      expect(yield* scratch.query("select nspname from pg_namespace where nspname in ('agents', 'cluster')")).toEqual(
        []
      )
    })
  )

  it.scopedLive("refuses what was changed by hand, each thing by its name, and notes an index", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      const scratch = yield* platformDatabase
      yield* deploy(old)
      yield* database.query("create index by_hand on agents.notes (author)")
      const options = { mode: "prove", scratch: scratch.urlOf("migrator") } as const
      const noted = yield* run(next(more), options)
      expect(noted).toMatchObject({ verdict: "passed", findings: [{ rule: "schema-drift", severity: "note" }] })

      for (const change of [
        "alter table agents.notes add column extra text",
        "alter table agents.notes alter column body drop not null",
        "create function agents.quiet() returns trigger language plpgsql as $$ begin return null; end $$",
        "create trigger quiet before insert on agents.notes for each row execute function agents.quiet()",
        "create rule nothing as on delete to agents.notes do instead nothing",
        "revoke insert on agents.notes from runtime",
        "grant delete on agents.notes to runtime",
        "alter table agents.notes add constraint short check (length(body) < 10000)"
      ]) {
        yield* database.query(change)
      }
      const evidence = yield* run(next(more), options)
      expect(evidence.verdict).toBe("refused")
      expect(evidence.findings.filter(({ severity }) => severity === "hazard").map(({ where }) => where)).toEqual([
        "schema agents, column agents.notes.body",
        "schema agents, column agents.notes.extra",
        "schema agents, constraint agents.notes.short",
        "schema agents, function agents.quiet()",
        "schema agents, rights on agents.notes of runtime",
        "schema agents, rule agents.notes.nothing",
        "schema agents, trigger agents.notes.quiet"
      ])
    })
  )

  it.scopedLive("asks for an empty scratch database, and looks for nothing when the database is ahead", () =>
    Effect.gen(function* () {
      const { database, run, deploy } = yield* world
      yield* deploy(old)
      const taken = yield* Effect.flip(run(old, { mode: "prove", scratch: database.url }))
      expect(taken).toMatchObject({ _tag: "ScratchUnusable" })
      yield* deploy({ ...next(more), release: "newer" })
      const { checks } = yield* run(old, { mode: "prove", scratch: database.url })
      expect(checks.find(({ name }) => name === "drift")?.result).toContain("ahead of this image")
    })
  )

  it.scopedLive("finds none between this repository's migrations, applied, and replayed by their text alone", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const scratch = yield* platformDatabase
      // What runners make by the day belongs to no history.
      expect((yield* database.query("select agents.keep_event_partitions(2)")).length).toBeGreaterThan(3)
      const sessionOf = (url: string) =>
        fromUrl(url).pipe(
          Effect.flatMap((settings) => Layer.build(layer(settings))),
          Effect.flatMap((context) => Context.get(context, Database).session)
        )
      const files = yield* readFolder(join(import.meta.dirname, "../../../migrations"))
      const here = yield* live(yield* sessionOf(database.urlOf("migrator")))
      expect(here.size).toBeGreaterThan(30)
      expect(drift(here, yield* replayed(yield* sessionOf(scratch.urlOf("migrator")), files))).toEqual([])
    })
  )

  it("says what is there and what should be", () => {
    const [lacking, other] = drift(
      new Map([["b", "2"]]),
      new Map([
        ["a", "1"],
        ["b", "3"]
      ])
    )
    expect(lacking?.what).toContain("lacks a")
    expect(other?.detail).toBe("here: 2\nby the history: 3")
  })
})
