/** What catches which mistake: our checks, the compiler, and Pulumi's mocks, each really asked about each of them. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { policies, violations } from "./policies.ts"
import { type Captured, type CapturedStack, captureAll } from "./testing/capture.ts"
import { root } from "./testing/facts.ts"
import { made, mistakes } from "./testing/mistakes.ts"
import { refusedByCompiler, refusedByMocks } from "./testing/others.ts"
import { providerErrors } from "./testing/providerRules.ts"
import { schemaErrors } from "./testing/schema.ts"

let stacks: ReadonlyArray<CapturedStack>
let all: ReadonlyArray<Captured>
beforeAll(async () => {
  stacks = await captureAll()
  all = stacks.flatMap(({ resources }) => resources)
})

describe("a mistake", () => {
  const checked = { schema: schemaErrors, provider: providerErrors } as const

  for (const mistake of mistakes) {
    const { by, says, what } = mistake
    it(`is caught by ${by}: ${what}`, () => {
      const { inputs, resource } = made(all, mistake)
      const found =
        by === "schema" || by === "provider"
          ? checked[by](resource.type, inputs)
          : policies
              .filter(({ name }) => name === by)
              .flatMap(({ violation }) => violation({ ...resource, inputs }) ?? [])
      expect(found.join("\n")).toMatch(says)
    })
  }

  it("of every policy is among them", () => {
    // Those that look at options and at what is not there are broken below.
    const broken = new Set(mistakes.map(({ by }) => by))
    const others = ["protected-keys", "no-keys"]
    expect(policies.map(({ name }) => name).filter((name) => !broken.has(name) && !others.includes(name))).toEqual([])
    const key = all.find(({ type }) => type.includes("kms/cryptoKey:"))!
    const judge = (name: string, resource: Pick<Captured, "type" | "inputs" | "protect">) =>
      policies.find((policy) => policy.name === name)!.violation(resource)
    expect(judge("protected-keys", { ...key, protect: false })).toMatch(/not protected/)
    expect(judge("no-keys", { type: "gcp:serviceaccount/key:Key", inputs: {}, protect: false })).toMatch(/stolen/)
  })

  it("in the rights of deployers and of pull requests is seen over all stacks", () => {
    const builders = stacks.find(({ project, stack }) => project === "delivery" && stack === "shared")!
    const grant = (account: string, role: string): CapturedStack => ({
      ...builders,
      resources: builders.resources.map((one) =>
        JSON.stringify(one.inputs).includes(account) && one.inputs["role"] !== undefined
          ? { ...one, inputs: { ...one.inputs, role } }
          : one
      )
    })
    expect(
      violations([grant("agents-checker", "roles/artifactregistry.writer")]).map(({ policy }) => policy)
    ).toContain("pull-requests-change-nothing")
  })
})

describe("the compiler and the mocks", () => {
  it("take and refuse what the list says of them", async () => {
    const cases = mistakes.map((mistake) => made(all, mistake))
    const compiler = refusedByCompiler(cases)
    // Right inputs are taken: what is refused is refused for its mistake.
    expect(compiler.control).toEqual([])
    const named = (flags: ReadonlyArray<boolean>) => mistakes.filter((_, i) => flags[i]).map(({ what }) => what)
    expect(named(compiler.refused)).toEqual(mistakes.filter(({ tsc }) => tsc).map(({ what }) => what))
    const mocks = await refusedByMocks(cases)
    expect(named(mocks)).toEqual(["a required argument left out"])

    const by = (name: string) => mistakes.filter((one) => one.by === name).length
    const policy = mistakes.length - by("schema") - by("provider")
    const line = `The list holds ${mistakes.length} mistakes: mocks refuse ${mocks.filter(Boolean).length}, the compiler ${compiler.refused.filter(Boolean).length}; ours refuse all: the derived schema ${by("schema")}, the provider's rules ${by("provider")}, policies ${policy}.`
    expect(readFileSync(join(root, "infra", "README.md"), "utf8")).toContain(line)
  })
})
