/** Rendered manifests are reviewed as files: what an overlay makes of a change to the base is seen, not guessed. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { renderAll, textOf } from "./goldens/render.ts"

const folder = join(import.meta.dirname, "goldens", "rendered")

it.live("renders every overlay to the file that was reviewed (else: make goldens, and look at the diff)", () =>
  Effect.gen(function* () {
    const goldens = yield* renderAll()
    expect(goldens.length).toBeGreaterThanOrEqual(5)
    expect(readdirSync(folder).toSorted()).toEqual(goldens.map(({ file }) => file).toSorted())
    for (const golden of goldens) {
      expect(golden.objects.length, golden.file).toBeGreaterThan(4)
      const reviewed = readFileSync(join(folder, golden.file), "utf8")
      expect(
        textOf(golden) === reviewed ? [] : firstDifference(reviewed, textOf(golden)),
        `${golden.file} is not what k8s/ and skaffold.yaml render to now. Run "make goldens" and review the diff`
      ).toEqual([])
    }
  })
)

/** Three lines of each: the whole texts have a thousand. */
const firstDifference = (reviewed: string, now: string) => {
  const [left, right] = [reviewed.split("\n"), now.split("\n")]
  const at = left.findIndex((line, index) => line !== right[index])
  const from = at === -1 ? left.length : at
  return [`line ${from + 1}`, { reviewed: left.slice(from, from + 3), now: right.slice(from, from + 3) }]
}
