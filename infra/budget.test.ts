import { describe, expect, it } from "vitest"
import { CONNECTION_BUDGET } from "../src/gates/manifests/rules/ConnectionBudget.ts"
import { connectionPlan } from "./budget.ts"
import { environments } from "./names.ts"
import { readEnvironment } from "./settings.ts"
import { configOf } from "./testing/capture.ts"

describe("the plan of a database's connections", () => {
  for (const environment of environments) {
    it(`has in ${environment} what the manifest gate lets pods open`, () => {
      const { tier } = readEnvironment(environment, configOf(environment)).database
      expect(connectionPlan(tier).forPods).toBeGreaterThanOrEqual(CONNECTION_BUDGET)
    })
  }

  it("is too small on a smaller tier", () => {
    expect(connectionPlan("db-custom-1-3840").forPods).toBeLessThan(CONNECTION_BUDGET)
  })
})
