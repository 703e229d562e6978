/** The builds of Cloud Build against the Makefile, and their substitutions. What a build may contain at all, `deliver lint` says. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { parse } from "yaml"
import { repository } from "./delivery.ts"

interface Build {
  readonly timeout: string
  readonly steps: ReadonlyArray<{
    readonly id: string
    readonly name: string
    readonly args?: ReadonlyArray<string>
    readonly script?: string
    readonly timeout?: string
  }>
}
const text = (file: string) => readFileSync(join(repository, file), "utf8")
const files = readdirSync(repository).filter((file) => /^cloudbuild(\.\w+)?\.yaml$/.test(file))
const builds = files.map((file) => [file, parse(text(file)) as Build] as const)
const checking = builds.filter(([file]) => file !== "cloudbuild.drills.yaml")
const makefile = text("Makefile")

/** The target of the Makefile that a step carries out. */
const target = ({ args, script }: Build["steps"][number]) =>
  args?.[0] === "make" ? args[1] : /^ *make (\S+)/m.exec(script ?? "")?.[1]

describe("the builds", () => {
  it("are three", () => {
    expect(files.sort()).toEqual(["cloudbuild.drills.yaml", "cloudbuild.pr.yaml", "cloudbuild.yaml"])
  })

  it("use the substitutions that they declare, and declare those that they use", () => {
    const builtIn = ["PROJECT_ID", "COMMIT_SHA", "SHORT_SHA", "BUILD_ID", "REPO_FULL_NAME", "_PR_NUMBER"]
    for (const file of files) {
      const code = text(file).replace(/^\s*#.*$/gm, "")
      const used = new Set([...code.matchAll(/\$\{?(_[A-Z_]+)/g)].map(([, name]) => name!))
      const declared = new Set([...code.matchAll(/^ {2}(_[A-Z_]+):/gm)].map(([, name]) => name!))
      const unknown = [...used].filter((name) => !declared.has(name) && !builtIn.includes(name))
      expect(unknown, `${file} uses`).toEqual([])
      expect(
        [...declared].filter((name) => !used.has(name)),
        `${file} declares`
      ).toEqual([])
    }
  })

  it("check by the targets of the Makefile that a laptop uses", () => {
    const targets = [...makefile.matchAll(/^([\w./-]+):/gm)].map(([, name]) => name)
    for (const [file, { steps }] of checking) {
      const checks = steps.filter(({ id, name }) => /^(node|golang):/.test(name) && id !== "comment")
      expect(checks.length).toBeGreaterThan(7)
      for (const step of checks) expect(targets, `${file} ${step.id}`).toContain(target(step))
    }
  })

  it("leave out no part of make test", () => {
    const parts = /^test: setup (.*?) ##/m.exec(makefile)![1]!.split(" ")
    expect(parts).toContain("lint-delivery")
    for (const [file, { steps }] of checking) {
      const done = steps.map(target)
      for (const part of [...parts, "tests", "manifests", "migrations", "audit"]) expect(done, file).toContain(part)
    }
  })

  it("end: each, and each of their steps", () => {
    for (const [file, { steps, timeout }] of builds) {
      expect(timeout, file).toMatch(/^\d+s$/)
      if (steps.length > 1) for (const step of steps) expect(step.timeout, `${file} ${step.id}`).toMatch(/^\d+s$/)
    }
  })
})
