/** The stacks of prod through Pulumi's own engine. Where the CLI is missing, `stacks.test.ts` asks the mocks, and this says so. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { databaseRoles } from "./names.ts"
import { captureAll } from "./testing/capture.ts"
import { cli, deployAll, refusedByGoogles } from "./testing/engine.ts"
import { root } from "./testing/facts.ts"
import { made, mistakes } from "./testing/mistakes.ts"
import { googles } from "./testing/providers.ts"

const present = cli() !== undefined
if (!present)
  process.stdout.write("The Pulumi CLI is not on this machine: the stacks are not played through its engine.\n")

describe.skipIf(!present)("Pulumi's engine", () => {
  it("deploys every stack, finds nothing to change the second time, and stores no password in the clear", async () => {
    const stacks = await deployAll(["prod"])
    expect(stacks.map(({ project, stack }) => `${project}/${stack}`)).toHaveLength(7)
    for (const { changes, created, planned, project, stack, state } of stacks) {
      const where = `${project}/${stack}`
      expect(created, where).toBeGreaterThan(2)
      expect(changes, where).toEqual([])
      // Where Google's own provider is here, it has checked and planned each.
      if (googles() !== undefined) expect(planned, where).toBeGreaterThan(0)
      // As the engine writes them: encrypted, under a mark.
      const marks = state.match(/"4dabf18193072939515e22adb298388d":"1b47061264138c4ac30d75fd1eb44270"/g) ?? []
      if (project === "platform") expect(marks.length, where).toBeGreaterThanOrEqual(2 * databaseRoles.length)
      const passwords = [...state.matchAll(/"password":("[^"]*")/g)].map(([, value]) => value)
      expect(passwords, where).toEqual([])
    }
  }, 900_000)
})

const google = googles()
if (google === undefined) process.stdout.write("Google's own provider is not on this machine: it was not asked.\n")

describe.skipIf(!present || google === undefined)("Google's own provider", () => {
  it("takes every resource of ours, and refuses at a preview as many of the mistakes as the README says", async () => {
    const all = (await captureAll()).flatMap(({ resources }) => resources)
    const { right, wrong } = await refusedByGoogles(
      google!,
      mistakes.map((mistake) => made(all, mistake))
    )
    expect(right).toBeUndefined()
    expect(readFileSync(join(root, "infra", "README.md"), "utf8")).toContain(
      `refuses ${wrong.filter((said) => said !== undefined).length} of the ${mistakes.length} mistakes at a preview`
    )
  }, 900_000)
})
