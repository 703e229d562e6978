import { describe, expect, it } from "@effect/vitest"
import { covers, forbidden } from "./Policies.ts"
import type { DeployPolicy, RolloutRestriction } from "./Resources.ts"

const weekly = (
  timeZone: string,
  daysOfWeek: ReadonlyArray<string>,
  start: number,
  end: number
): RolloutRestriction => ({
  id: "r",
  timeWindows: { timeZone, weeklyWindows: [{ daysOfWeek, startTime: { hours: start }, endTime: { hours: end } }] }
})
const weekend = weekly("America/New_York", ["SATURDAY", "SUNDAY"], 0, 24)
const night = weekly("Europe/Berlin", [], 3, 4)

describe("covers", () => {
  it.each([
    ["Friday evening in New York", weekend, "2026-01-10T04:59:00Z", false],
    ["the first minute of Saturday there", weekend, "2026-01-10T05:00:00Z", true],
    ["the last minute before 24:00 of Sunday", weekend, "2026-01-12T04:59:00Z", true],
    ["Monday 00:00", weekend, "2026-01-12T05:00:00Z", false],
    ["03:00 in winter", night, "2026-01-10T02:00:00Z", true],
    ["04:00 in winter", night, "2026-01-10T03:00:00Z", false],
    ["03:00 on the day that has no 02:00", night, "2026-03-29T01:00:00Z", true],
    ["01:59 on that day", night, "2026-03-29T00:59:00Z", false],
    ["the second 02:59 when clocks go back", night, "2026-10-25T01:59:00Z", false],
    ["03:00 on that day", night, "2026-10-25T02:00:00Z", true],
    ["a restriction without windows", { id: "r" }, "2026-01-10T00:00:00Z", true]
  ] as const)("%s", (_, restriction, at, answer) => {
    expect(covers(restriction, new Date(at))).toBe(answer)
  })

  it.each([
    ["2026-12-24T15:59:00Z", false],
    ["2026-12-24T16:00:00Z", true],
    ["2026-12-26T22:59:00Z", true],
    ["2026-12-26T23:00:00Z", false]
  ])("a window of one time, at %s", (at, answer) => {
    const restriction: RolloutRestriction = {
      id: "r",
      timeWindows: {
        timeZone: "Europe/Berlin",
        oneTimeWindows: [
          {
            startDate: { year: 2026, month: 12, day: 24 },
            startTime: { hours: 17 },
            endDate: { year: 2026, month: 12, day: 26 },
            endTime: { hours: 24 }
          }
        ]
      }
    }
    expect(covers(restriction, new Date(at))).toBe(answer)
  })
})

describe("forbidden", () => {
  const policy = (rule: Partial<RolloutRestriction>, more: Partial<DeployPolicy> = {}): DeployPolicy => ({
    name: "projects/p/locations/l/deployPolicies/freeze",
    selectors: [{ deliveryPipeline: { id: "app" }, target: { id: "prod" } }],
    rules: [{ rolloutRestriction: { id: "r", ...rule } }],
    ...more
  })
  const ask = (one: DeployPolicy, overridden: ReadonlyArray<string> = []) =>
    forbidden([one], {
      pipeline: { name: "projects/p/locations/l/deliveryPipelines/app" },
      target: { name: "projects/p/locations/l/targets/prod", labels: { tier: "1" } },
      action: "CREATE",
      invoker: "USER",
      at: new Date("2026-01-10T12:00:00Z"),
      overridden
    }) !== undefined

  it.each([
    ["no actions and no invokers: all", policy({}), true],
    ["empty actions and invokers: all", policy({ actions: [], invokers: [] }), true],
    ["this action", policy({ actions: ["CREATE"] }), true],
    ["another action", policy({ actions: ["APPROVE"] }), false],
    ["users", policy({ invokers: ["USER"] }), true],
    ["automations only", policy({ invokers: ["DEPLOY_AUTOMATION"] }), false],
    ["suspended", policy({}, { suspended: true }), false],
    ["no selector", policy({}, { selectors: [] }), false],
    ["any pipeline", policy({}, { selectors: [{ deliveryPipeline: { id: "*" } }] }), true],
    ["another target", policy({}, { selectors: [{ target: { id: "dev" } }] }), false],
    ["the target's label", policy({}, { selectors: [{ target: { labels: { tier: "1" } } }] }), true],
    ["another label", policy({}, { selectors: [{ target: { labels: { tier: "2" } } }] }), false]
  ])("%s", (_, one, answer) => {
    expect(ask(one)).toBe(answer)
  })

  it("lets a caller override a policy by its id", () => {
    expect(ask(policy({}), ["freeze"])).toBe(false)
    expect(ask(policy({}), ["other"])).toBe(true)
  })
})
