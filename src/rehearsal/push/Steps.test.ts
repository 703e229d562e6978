import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { plan } from "./Steps.ts"

const build = (...steps: ReadonlyArray<string>) =>
  `steps:\n${steps.map((step) => `- ${step}`).join("\n")}\nsubstitutions: {_PIPELINE: agents}\n`
const IMAGE = "{id: image, name: docker, args: [build, .]}"
const RELEASE = "{id: release, name: gcloud, script: x}"

describe("what a push does", () => {
  it("gives each step of this repository's own build a meaning", () => {
    const own = plan(readFileSync(join(import.meta.dirname, "../../../cloudbuild.yaml"), "utf8"))
    expect(own).toMatchObject({ _tag: "Steps" })
    const steps = own._tag === "Steps" ? own.steps : []
    expect(steps.filter(({ _tag }) => _tag === "Run").map(({ id }) => id)).toEqual([
      "typecheck",
      "lint",
      "surface",
      "manifests",
      "migrations",
      "lint-delivery",
      "test"
    ])
    expect(steps.at(-1)).toEqual({ _tag: "Release", id: "release", pipeline: "agents" })
  })

  it.each([
    ["an unknown step, by name", build("{id: polish, name: x, args: [make, polish]}", IMAGE, RELEASE), '"polish"'],
    ["a step without a name", build("{name: x, args: [make]}", IMAGE, RELEASE), "Step 1"],
    ["a check that is a script", build("{id: lint, name: x, script: make}", IMAGE, RELEASE), '"lint"'],
    ["a check with a value of Google's", build("{id: lint, name: x, args: [make, $_X]}", IMAGE, RELEASE), "$_X"],
    ["a build that releases nothing", build(IMAGE), '"release"'],
    ["a release without images", build(RELEASE), '"image"'],
    ["a release to nowhere", `steps:\n- ${IMAGE}\n- ${RELEASE}\n`, "_PIPELINE"],
    ["a release by a path", `steps:\n- ${IMAGE}\n- ${RELEASE}\nsubstitutions: {_PIPELINE: ../../x}\n`, '"../../x"'],
    ["no build", "steps: []", "can't be read"],
    ["no YAML", "steps: [", "can't be read"]
  ])("refuses %s", (_, text, named) => {
    const refused = plan(text)
    expect(refused._tag).toBe("Refused")
    expect(refused._tag === "Refused" ? refused.reason : "").toContain(named)
  })
})
