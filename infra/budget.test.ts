import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { connectionPlan } from "./budget.ts"
import { repository } from "./delivery.ts"
import { environments } from "./names.ts"
import { componentFile, overlayComponent } from "./overlayComponent.ts"
import { readEnvironment } from "./settings.ts"
import { configOf } from "./testing/capture.ts"

describe("the plan of a database's connections", () => {
  it("follows the tier", () => {
    expect(connectionPlan("db-custom-2-7680")).toEqual({ maxConnections: 200, forPods: 127 })
    expect(connectionPlan("db-custom-1-3840")).toEqual({ maxConnections: 100, forPods: 27 })
  })

  for (const environment of environments) {
    it(`reaches the manifests of ${environment} by a component that is written from its settings`, () => {
      const written = readFileSync(componentFile(repository, environment), "utf8")
      expect(written, "run make infra-docs").toBe(
        overlayComponent(environment, readEnvironment(environment, configOf(environment)))
      )
    })
  }

  it("changes the component with the tier: a smaller database is a smaller budget at the gate", () => {
    const settings = readEnvironment("prod", configOf("prod"))
    const database = { ...settings.database, tier: "db-custom-1-3840" }
    expect(overlayComponent("prod", { ...settings, database })).toContain("DATABASE_CONNECTIONS=27")
  })
})
