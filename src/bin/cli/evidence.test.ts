import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { testDatabase } from "../../../test/support/database.ts"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import * as Evidence from "../../gates/Evidence.ts"
import { evidenceVerb } from "./evidence.ts"
import { runVerb } from "./Verb.ts"

const release = "4f2a91c0000000000000000000000000000000aa"

it.scopedLive("shows what gates kept of a release, as text, JSON and a page, by the begin of its commit", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const evidence = yield* Evidence.make({
      gate: "workflows",
      release,
      summary: () => "This release would strand work in flight.",
      checks: [{ name: "open executions", result: "3" }],
      findings: [
        {
          rule: "activity-gone",
          severity: "hazard",
          what: "Plan is gone.",
          where: "Order",
          why: "It runs again.",
          fix: "Keep it."
        }
      ],
      startedAt: new Date(),
      env: { CLOUD_DEPLOY_TARGET: "prod" }
    })
    const insert = (json: unknown, of = release) =>
      database.query(
        "insert into agents.evidence (release, gate, verdict, target, evidence) values ($1, 'workflows', 'refused', 'prod', $2)",
        [of, JSON.stringify(json)]
      )
    yield* insert(Evidence.toJson(evidence))
    yield* insert({ format: 2 })
    yield* insert(Evidence.toJson(evidence), "4f2b")
    const deliver = (...words: ReadonlyArray<string>) =>
      runVerb([evidenceVerb], ["evidence", ...words, "--database-url", database.urlOf("migrator")])

    const shown = yield* deliver("4f2a")
    expect(shown.exitCode).toBe(0)
    expect(shown.text).toContain("gate workflows: REFUSED")
    expect(shown.text).toContain("1 record(s) can't be read by this image")
    expect(shown.json).toMatchObject({ release, verdict: "refused", unreadable: 1 })

    const folder = mkdtempSync(join(tmpdir(), "evidence-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
    const file = join(folder, "page.html")
    expect((yield* deliver("4f2a", "--html", file)).text).toContain(`written to ${file}`)
    expect(readFileSync(file, "utf8")).toContain("Plan is gone.")

    expect((yield* deliver()).text.split("\n")).toHaveLength(2)
    const several = yield* Effect.flip(deliver("4f2"))
    expect(several).toMatchObject({ exitCode: 12 })
    expect(several.message).toContain("not one release but several")
    expect(yield* Effect.flip(deliver("beef"))).toMatchObject({ exitCode: 12 })
    expect(yield* Effect.flip(deliver("4f2a", "--gate", "smoke"))).toMatchObject({ exitCode: 12 })
    expect(yield* Effect.flip(deliver("--html", file))).toMatchObject({ exitCode: 2 })
  })
)

it.scopedLive("says so on a database that was never migrated", () =>
  Effect.gen(function* () {
    const database = yield* testDatabase
    const error = yield* Effect.flip(runVerb([evidenceVerb], ["evidence", "x", "--database-url", database.url]))
    expect(error).toMatchObject({ exitCode: 12 })
    expect(error.message).toContain("deliver migrate up")
  })
)
