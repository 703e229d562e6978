import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { binary, lint } from "./Lint.ts"
import { parse } from "./MigrationFile.ts"

const repository = join(import.meta.dirname, "../../..")

const linted = (sql: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "lint-"))),
    (folder) =>
      Effect.gen(function* () {
        const path = join(folder, "0001_x.sql")
        writeFileSync(path, sql)
        return yield* lint(yield* binary(repository), parse("0001_x", path, sql))
      }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ).pipe(Effect.map((findings) => findings.map(({ rule, where }) => `${rule} ${where}`)))

describe("lint", () => {
  it.effect.each([
    [
      "a new table with its index",
      "-- phase: expand\ncreate table agents.a (id bigint);\ncreate index a_id on agents.a (id);",
      []
    ],
    ["a drop in a contract step", "-- phase: contract\nalter table agents.a drop column b;", []],
    [
      "what is ignored with a reason",
      "-- phase: expand\n-- squawk-ignore ban-drop-column\nalter table agents.a drop column b;",
      []
    ],
    [
      "a drop in an expand step",
      "-- phase: expand\nalter table agents.a drop column b;",
      ["squawk/ban-drop-column migrations/0001_x.sql:2"]
    ],
    [
      "an index that blocks writers",
      "-- phase: expand\ncreate index i on agents.a (id);",
      ["squawk/require-concurrent-index-creation migrations/0001_x.sql:2"]
    ],
    [
      "a rewrite of a table, also in a contract step",
      "-- phase: contract\nalter table agents.a alter column b type bigint;",
      ["squawk/changing-column-type migrations/0001_x.sql:2"]
    ]
  ] as const)("judges %s", ([_, sql, expected]) =>
    Effect.gen(function* () {
      expect(yield* linted(sql)).toEqual(expected)
    })
  )

  it.effect("finds nothing in the migrations of this repository", () =>
    Effect.gen(function* () {
      const folder = join(repository, "migrations")
      const names = readdirSync(folder).filter((name) => name.endsWith(".sql"))
      expect(names.length).toBeGreaterThan(0)
      const squawk = yield* binary(repository)
      for (const name of names) {
        const path = join(folder, name)
        expect(yield* lint(squawk, parse(name.slice(0, -4), path, readFileSync(path, "utf8")))).toEqual([])
      }
    })
  )

  it.effect("says what to do when the linter does not work", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(lint("/nowhere/squawk", parse("0001_x", "/nowhere/0001_x.sql", "select 1")))
      expect(error.message).toContain("squawk did not work on /nowhere/0001_x.sql")
    })
  )
})
