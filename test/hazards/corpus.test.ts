/** The corpus: every hazard is refused with its words, nothing harmless is, and the corpus has not shrunk. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll } from "vitest"
import { world } from "../support/migration-world.ts"
import { deliveryEntries } from "./delivery.ts"
import { type Entry, type Said, wrong } from "./Entry.ts"
import { filledEntries } from "./filled.ts"
import { manifestEntries } from "./manifests.ts"
import { deployed, migrationEntries } from "./migrations.ts"
import { surfaceEntries } from "./surface.ts"
import { table } from "./table.ts"
import { workflowEntries } from "./workflows.ts"

const results: Array<{ readonly entry: Entry; readonly said: Said; readonly wrong: string | undefined }> = []

const judge = (entry: Entry) =>
  Effect.scoped(entry.judge).pipe(
    Effect.map((said) => {
      const result = { entry, said, wrong: wrong(entry, said) }
      results.push(result)
      if (result.wrong !== undefined) throw new Error(result.wrong)
    })
  )

const sources = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(join(import.meta.dirname, name), "utf8")) as { expect: string | null })

/** The table that `make hazards` prints. */
const TABLE = join(import.meta.dirname, "../../node_modules/.cache/hazards/table.txt")
afterAll(() => {
  if (process.env["HAZARDS"] !== "all") return
  mkdirSync(join(TABLE, ".."), { recursive: true })
  writeFileSync(TABLE, table(results, sources))
})

const groups = {
  surface: surfaceEntries,
  workflows: workflowEntries,
  manifests: manifestEntries,
  delivery: deliveryEntries,
  filled: filledEntries
}

for (const [name, entries] of Object.entries(groups)) {
  describe(name, () => {
    it.scopedLive.each(
      entries.map((entry) => [entry.expect === null ? "passes" : "refuses", entry.title, entry] as const)
    )("%s: %s", ([_verb, _title, entry]) => judge(entry))
  })
}

describe("migrations", () => {
  it.scopedLive("are refused and passed, all in one database, which stays as it was", () =>
    Effect.gen(function* () {
      const made = yield* world
      yield* deployed(made)
      const problems: Array<string> = []
      for (const make of migrationEntries) {
        const entry = make(made)
        yield* judge(entry).pipe(
          Effect.catchAllDefect((defect) =>
            Effect.sync(
              () => void problems.push(`${entry.title}: ${defect instanceof Error ? defect.message : defect}`)
            )
          )
        )
      }
      expect(problems.join("\n\n")).toBe("")
      expect(yield* made.columns).toEqual(["author", "body", "id"])
    })
  )
})

it("holds at least 150 hazards and 50 harmless changes", () => {
  const expectations = [
    ...Object.values(groups).flatMap((entries) => entries.map(({ expect }) => expect)),
    ...results.filter(({ entry }) => entry.gate === "migrations").map(({ entry }) => entry.expect),
    ...sources.map(({ expect }) => expect)
  ]
  expect(expectations.filter((words) => words !== null).length).toBeGreaterThanOrEqual(150)
  expect(expectations.filter((words) => words === null).length).toBeGreaterThanOrEqual(50)
  const titles = Object.values(groups).map((entries) =>
    entries.map(({ title, expect }) => `${expect === null} ${title}`)
  )
  for (const each of titles) expect(new Set(each).size).toBe(each.length)
})
