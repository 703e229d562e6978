import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { parse } from "yaml"
import { type DeliveryTexts, deliveredTo } from "./deliveredTo.ts"
import { repository } from "./delivery.ts"
import { environments } from "./names.ts"

const text = (file: string) => readFileSync(join(repository, file), "utf8")
const now: DeliveryTexts = {
  targets: text("clouddeploy/targets.yaml"),
  pipeline: text("clouddeploy/pipeline.yaml"),
  skaffold: text("skaffold.yaml")
}

describe("the delivery files", () => {
  it("are left as people wrote them where an environment is in them", () => {
    for (const environment of environments) expect(deliveredTo(now, environment)).toEqual(now)
  })

  it("get a new environment before the first one that asks for approval, and nothing else changes", () => {
    const then = deliveredTo(now, "perf")
    const { stages } = (parse(then.pipeline) as { serialPipeline: { stages: ReadonlyArray<{ targetId: string }> } })
      .serialPipeline
    expect(stages.map(({ targetId }) => targetId)).toEqual(["dev", "staging", "perf", "prod"])
    for (const key of ["targets", "pipeline", "skaffold"] as const) {
      const kept = then[key].split("\n").filter((line) => now[key].split("\n").includes(line))
      expect(kept.length).toBeGreaterThanOrEqual(now[key].trimEnd().split("\n").length)
    }
    // The comment stays with what it is about.
    expect(then.pipeline).toMatch(/nothing yet to compare one replica with\.\n {4}- targetId: prod/)
    expect(deliveredTo(then, "perf")).toEqual(then)
  })
})
