import { describe, expect, it } from "@effect/vitest"
import type { Automation, Rollout } from "./Resources.ts"
import { due, invalid, promotions } from "./TimedPromotion.ts"

const monday = { id: "monday", schedule: "0 9 * * 1", timeZone: "Europe/Berlin" }
/** Friday; clocks go forward on Sunday the 29th, so nine in Berlin is 07:00Z on Monday. */
const FRIDAY = "2026-03-27T12:00:00.000Z"
const NINE = Date.parse("2026-03-30T07:00:00Z")

describe("a schedule", () => {
  it.each([
    ["before its time", "2026-03-30T06:59:59Z", undefined, undefined],
    ["at its time", "2026-03-30T07:00:00Z", undefined, NINE],
    ["missed by hours", "2026-03-30T16:00:00Z", undefined, NINE],
    ["missed three times: the last one", "2026-04-14T00:00:00Z", undefined, Date.parse("2026-04-13T07:00:00Z")],
    ["once it was looked at", "2026-03-30T07:00:01Z", { origin: FRIDAY, at: NINE }, undefined],
    ["a week later", "2026-04-06T07:00:00Z", { origin: FRIDAY, at: NINE }, Date.parse("2026-04-06T07:00:00Z")],
    // A faster clock had run far ahead before it was applied again.
    ["applied again since", "2026-03-30T07:00:00Z", { origin: "2026-03-26T00:00:00.000Z", at: NINE * 2 }, NINE]
  ])("is due by the clock of its zone: %s", (_, now, done, answer) => {
    expect(due(monday, FRIDAY, done, Date.parse(now), 1)).toBe(answer)
  })

  it("comes sooner as waits are shorter", () => {
    const wait = (NINE - Date.parse(FRIDAY)) / 1440
    expect(due(monday, FRIDAY, undefined, Date.parse(FRIDAY) + wait - 1, 1440)).toBeUndefined()
    expect(due(monday, FRIDAY, undefined, Date.parse(FRIDAY) + wait, 1440)).toBe(NINE)
  })

  it.each([
    ["an unknown zone", { timeZone: "Europe/Berlim" }, '"Europe/Berlim" is no time zone'],
    ["no zone", { timeZone: "" }, "is no time zone"],
    ["six fields", { schedule: "0 0 9 * * 1" }, "five fields"],
    ["an hour that is none", { schedule: "0 25 * * 1" }, "no schedule of cron"],
    ["the 30th of February", { schedule: "0 9 30 2 *" }, "never comes"]
  ])("is refused when it is applied: %s", (_, change, says) => {
    const rule = { ...monday, ...change }
    expect(invalid([{ timedPromoteReleaseRule: rule }])).toContain('The rule "monday"')
    expect(invalid([{ timedPromoteReleaseRule: rule }])).toContain(says)
  })

  it("is taken as it should be written", () => {
    expect(invalid([{ promoteReleaseRule: { id: "up" } }, { timedPromoteReleaseRule: monday }])).toBeUndefined()
    expect(invalid(undefined)).toBeUndefined()
  })
})

const automation: Automation = { name: "p/automations/weekly", selector: { targets: [{ id: "dev" }] } }
const rollout = (release: string, targetId: string, state: Rollout["state"], deployEndTime = ""): Rollout => ({
  name: `projects/p/locations/l/deliveryPipelines/d/releases/${release}/rollouts/to-${targetId}`,
  targetId,
  state,
  approvalState: "DOES_NOT_NEED_APPROVAL",
  phases: [],
  deployEndTime
})
const targets = ["dev", "prod", "elsewhere"].map((id) => ({ name: `projects/p/locations/l/targets/${id}` }))
const plan = (rollouts: ReadonlyArray<Rollout>, rule = {}) =>
  promotions(
    automation,
    { ...monday, ...rule },
    NINE,
    targets,
    [{ targetId: "dev" }, { targetId: "prod" }],
    rollouts
  ).map(({ key, intent, source }) => ({ key, intent, release: source.name.split("/")[7] }))
const old = rollout("old", "dev", "SUCCEEDED", "2026-01-01")
const newer = rollout("new", "dev", "SUCCEEDED", "2026-01-02")

describe("a timed promotion", () => {
  it("takes what the target runs to the next stage, and not what failed there since", () => {
    expect(plan([newer, old, rollout("bad", "dev", "FAILED", "2026-01-03")], { destinationPhase: "stable" })).toEqual([
      {
        key: `weekly-monday-dev-${NINE}`,
        intent: { _tag: "Promote", targetId: "prod", phase: "stable" },
        release: "new"
      }
    ])
  })
  it.each([
    ["has run nothing yet", [rollout("new", "dev", "IN_PROGRESS")]],
    ["has its release there already", [newer, rollout("new", "prod", "SUCCEEDED", "2026-01-03")]],
    ["has its release waiting there for approval", [newer, rollout("new", "prod", "PENDING_APPROVAL")]]
  ] as const)("is nothing where the target %s", (_, rollouts) => {
    expect(plan(rollouts)).toEqual([])
  })
  it("is made again after the destination went back", () => {
    const back = rollout("old", "prod", "SUCCEEDED", "2026-01-04")
    expect(plan([newer, rollout("new", "prod", "SUCCEEDED", "2026-01-03"), back])).toMatchObject([{ release: "new" }])
  })
  it("is nothing from the last stage", () => {
    const prod = { ...automation, selector: { targets: [{ id: "prod" }] } }
    const stages = [{ targetId: "dev" }, { targetId: "prod" }]
    expect(promotions(prod, monday, NINE, targets, stages, [rollout("new", "prod", "SUCCEEDED")])).toEqual([])
  })
})
