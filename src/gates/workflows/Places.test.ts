import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { PLACES_FILE, placeOf, placesIn, placesOf, read } from "./Places.ts"

const root = join(import.meta.dirname, "../../..")

describe("where a durable name is declared", () => {
  it("is found in this release's own source, in the file of its workflow", () => {
    const places = placesOf(root)
    expect(placeOf(places, "AgentWorkflow")).toMatch(/^src\/agent\/AgentWorkflow\.ts:\d+$/)
    expect(placeOf(places, "AgentWorkflow / activity Plan")).toMatch(/^src\/agent\/AgentWorkflow\.ts:\d+$/)
    expect(placeOf(places, "AgentWorkflowV2 / activity Plan")).toMatch(/^src\/agent\/v2\/AgentWorkflow\.ts:\d+$/)
    expect(placeOf(places, "AgentWorkflowV2 / deferred Approval and clock UntilFollowUp")).toMatch(/^src\/agent\/v2\//)
    expect(placeOf(places, "Agent.Ask")).toMatch(/^src\/domain\/AgentRpcs\.ts:\d+$/)
    expect(placeOf(places, "event Token")).toMatch(/^src\/domain\/Event\.ts:\d+$/)
  })

  it("is the workflow's own where the part is gone, and not told where it can't be known", () => {
    const places = placesIn([
      { path: "a.ts", text: 'declare({\n  name: "Order",\n  plan: { name: "Plan" }' },
      { path: "b.ts", text: 'declare({ name: "Purchase", plan: { name: "Plan" } })' }
    ])
    expect(placeOf(places, "Order / activity Plan")).toBe("a.ts:3")
    expect(placeOf(places, "Order / activity Removed")).toBe("a.ts:2")
    expect(placeOf(places, "Gone / activity Plan")).toBeUndefined()
    expect(placeOf(places, "shardsPerGroup")).toBeUndefined()
  })

  it("is what the image says that was built of it", () => {
    const image = mkdtempSync(join(tmpdir(), "image-"))
    try {
      expect(read(image)).toEqual({})
      writeFileSync(join(image, PLACES_FILE), JSON.stringify({ Order: ["a.ts:2"] }))
      expect(placeOf(read(image), "Order")).toBe("a.ts:2")
    } finally {
      rmSync(image, { recursive: true })
    }
  })
})
