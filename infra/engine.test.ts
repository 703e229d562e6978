/** The stacks of prod through Pulumi's own engine. Where the CLI is missing, `stacks.test.ts` asks the mocks, and this says so. */
import { describe, expect, it } from "vitest"
import { databaseRoles } from "./names.ts"
import { cli, deployAll } from "./testing/engine.ts"

const present = cli() !== undefined
if (!present)
  process.stdout.write("The Pulumi CLI is not on this machine: the stacks are not played through its engine.\n")

describe.skipIf(!present)("Pulumi's engine", () => {
  it("deploys every stack, finds nothing to change the second time, and stores no password in the clear", async () => {
    const stacks = await deployAll(["prod"])
    expect(stacks.map(({ project, stack }) => `${project}/${stack}`)).toHaveLength(7)
    for (const { changes, created, project, stack, state } of stacks) {
      const where = `${project}/${stack}`
      expect(created, where).toBeGreaterThan(2)
      expect(changes, where).toEqual([])
      // As the engine writes them: encrypted, under a mark.
      const marks = state.match(/"4dabf18193072939515e22adb298388d":"1b47061264138c4ac30d75fd1eb44270"/g) ?? []
      if (project === "platform") expect(marks.length, where).toBeGreaterThanOrEqual(2 * databaseRoles.length)
      const passwords = [...state.matchAll(/"password":("[^"]*")/g)].map(([, value]) => value)
      expect(passwords, where).toEqual([])
    }
  }, 900_000)
})
