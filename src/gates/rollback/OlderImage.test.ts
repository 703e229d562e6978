import { mkdtempSync, rmSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Evidence from "../Evidence.ts"
import * as OlderImage from "./OlderImage.ts"

/** An image whose gate says `words` and ends with `code`. */
const image = (commit: string, words: string, code: number) =>
  Effect.gen(function* () {
    const images = mkdtempSync(join(tmpdir(), "images-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(images, { recursive: true, force: true })))
    const app = join(images, "r-1", "agents", "app")
    yield* Effect.promise(async () => {
      await mkdir(app, { recursive: true })
      await writeFile(join(app, "release.json"), JSON.stringify({ commit }))
      await writeFile(join(app, "words"), words)
      await writeFile(
        join(app, "deliver.js"),
        `process.stderr.write(process.argv.slice(2).join(" "))
         process.stdout.write(require("node:fs").readFileSync(__dirname + "/words", "utf8"))
         process.exitCode = ${code}`
      )
    })
    return { images, app }
  })

const evidence = Evidence.make({
  gate: "workflows",
  release: "old",
  summary: () => "It would strand work.",
  checks: [],
  findings: [{ rule: "a", severity: "hazard", what: "b", where: "c", why: "d", fix: "e" }],
  startedAt: new Date(),
  env: {}
}).pipe(Effect.map((made) => JSON.stringify(Evidence.toJson(made))))

const asked = { databaseUrl: "postgres://reader@127.0.0.1/x", env: {} }

it.scopedLive("takes the verdict of the older image's own gate", () =>
  Effect.gen(function* () {
    const { images, app } = yield* image("abc", yield* evidence, 10)
    expect(yield* OlderImage.find(images, "abc")).toBe(app)
    expect(yield* OlderImage.find(images, "abd")).toBeUndefined()
    expect(yield* OlderImage.find(join(images, "none"), "abc")).toBeUndefined()
    expect((yield* OlderImage.run(app, "workflows", asked)).verdict).toBe("refused")
  })
)

it.scopedLive("never takes a gate that gave no verdict for a pass", () =>
  Effect.gen(function* () {
    const whole = yield* evidence
    for (const [words, code, exitCode] of [
      ["", 0, 1],
      [whole.slice(0, 40), 0, 1],
      [whole, 1, 1],
      ["", 12, 12]
    ] as const) {
      const { app } = yield* image("abc", words, code)
      const failure = yield* Effect.flip(OlderImage.run(app, "migrations", asked))
      expect(failure.exitCode).toBe(exitCode)
      expect(failure.message).toContain("gate migrations --json")
    }
  })
)
