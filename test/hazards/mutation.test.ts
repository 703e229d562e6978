/**
 * Is every rule needed? Each is taken away in turn, and some entry of the corpus must then be judged wrongly: a rule that
 * nobody would miss is either not tested or not there.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { rules as manifestRules } from "../../src/gates/manifests/registry.ts"
import { callRules, executionRules, resultRules } from "../../src/gates/workflows/Rules.ts"
import { replayRules } from "../../src/gates/workflows/replay/Rules.ts"
import { world } from "../support/migration-world.ts"
import { type Entry, type Said, wrong } from "./Entry.ts"
import { filledEntries } from "./filled.ts"
import { manifestEntries } from "./manifests.ts"
import { deployed, migrationEntries } from "./migrations.ts"
import { surfaceEntries } from "./surface.ts"
import { workflowEntries } from "./workflows.ts"

const all = process.env["HAZARDS"] === "all"

/** The first entry that is judged wrongly. */
const missed = (entries: ReadonlyArray<Entry>): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    for (const entry of entries) {
      if (wrong(entry, yield* Effect.scoped(entry.judge)) !== undefined) return entry.title
    }
    return undefined
  })

const registries: ReadonlyArray<readonly [string, ReadonlyArray<{ readonly name: string }>, ReadonlyArray<Entry>]> = [
  ["workflow rules", executionRules, workflowEntries],
  ["rules of waiting calls", callRules, workflowEntries],
  ["rules of finished results", resultRules, workflowEntries],
  ["replay rules", replayRules, workflowEntries],
  ["manifest rules", manifestRules, manifestEntries]
]

for (const [registry, rules, entries] of registries) {
  describe.runIf(all)(registry, () => {
    for (const rule of rules) {
      it.live(`would miss "${rule.name}"`, () =>
        Effect.gen(function* () {
          const mutable = rules as Array<(typeof rules)[number]>
          const place = mutable.indexOf(rule)
          mutable.splice(place, 1)
          const found = yield* Effect.ensuring(
            missed(entries),
            Effect.sync(() => mutable.splice(place, 0, rule))
          )
          expect(found).toBeDefined()
        })
      )
    }
  })
}

/** The surface and the migrations have no list of rules: there a rule is what a finding names. */
const named = (folder: string): ReadonlyArray<string> => [
  ...new Set(
    readdirSync(join(import.meta.dirname, "../../src", folder))
      .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
      .flatMap((name) =>
        [
          ...readFileSync(join(import.meta.dirname, "../../src", folder, name), "utf8").matchAll(/\brule: "([a-z-]+)"/g)
        ].map(([, rule]) => rule!)
      )
  )
]

const never: Readonly<Record<string, string>> = {
  "workflow-new": "a note",
  "shard-groups-new": "a note",
  "broken-before": "a note",
  "concurrently-not-run": "a note",
  "lock-not-obtained": "speaks of the moment: tested with a long transaction beside Apply.ts",
  "proof-took-too-long": "speaks of the moment: tested beside Apply.ts",
  "schema-drift": "needs a scratch database: tested beside Drift.ts",
  "release-unknown": "speaks of a live runner: tested beside Migrate.ts"
}

const without = (entry: Entry, said: Said, rule: string) => {
  const findings = said.findings.filter((finding) => finding.rule !== rule)
  const verdict = findings.some(({ severity }) => severity === "hazard")
    ? "refused"
    : findings.some(({ severity }) => severity === "undecided")
      ? "undecided"
      : "passed"
  return wrong(entry, { ...said, verdict, findings })
}

const missedWithout = (said: ReadonlyArray<readonly [Entry, Said]>, rules: ReadonlyArray<string>) =>
  rules.filter((rule) => !(rule in never) && said.every(([entry, each]) => without(entry, each, rule) === undefined))

const judgeAll = (entries: ReadonlyArray<Entry>) =>
  Effect.forEach(entries, (entry) => Effect.map(Effect.scoped(entry.judge), (said) => [entry, said] as const))

describe.runIf(all)("findings", () => {
  it.scopedLive("of the surface are all missed", () =>
    Effect.gen(function* () {
      const rules = [
        ...named("surface"),
        "rpc-payload",
        "rpc-success",
        "rpc-error",
        "workflow-payload",
        "queue-payload",
        "queue-result"
      ]
      expect(rules.length).toBeGreaterThan(12)
      expect(missedWithout(yield* judgeAll(surfaceEntries), rules)).toEqual([])
    })
  )
  it.scopedLive("of the migrations are all missed", () =>
    Effect.gen(function* () {
      const made = yield* world
      yield* deployed(made)
      const rules = [
        ...named("gates/migrations"),
        "statement-broken",
        "answer-changed",
        "write-broken",
        "write-lost",
        "right-lost"
      ]
      expect(rules.length).toBeGreaterThan(12)
      expect(
        missedWithout(yield* judgeAll([...migrationEntries.map((make) => make(made)), ...filledEntries]), rules)
      ).toEqual([])
    })
  )
})
