import { describe, expect, it } from "@effect/vitest"
import { type Input, plan, type Record, type Rollout } from "./Plan.ts"

const MINUTE = 60_000
const NOW = new Date("2026-03-02T12:00:00Z")
const ago = (minutes: number) => new Date(NOW.getTime() - minutes * MINUTE)

const commit = (n: number) => `${n}a${"0".repeat(37)}${n}`
const rolloutName = (n: number, count = 1) =>
  `projects/p/locations/l/deliveryPipelines/agents/releases/r-${n}/rollouts/r-${n}-to-prod-000${count}`

const record = (n: number, state: Record["state"], deployed: number | null, change: Partial<Record> = {}): Record => ({
  release: commit(n),
  state,
  target: "prod",
  rollout: `r-${n}-to-prod-0001`,
  recorded_at: ago(1000 - n),
  deployed_at: deployed === null ? null : ago(deployed),
  retired_at: null,
  ...change
})
const rollout = (n: number, state: string, minutes: number, count = 1): Rollout => ({
  name: rolloutName(n, count),
  state,
  createdAt: ago(minutes)
})

const good = [record(1, "rollback-choice", 600), record(2, "deployed", 300)]
const walked = [rollout(1, "SUCCEEDED", 610), rollout(2, "SUCCEEDED", 310)]

const asked = (change: Partial<Input> = {}) =>
  plan({
    target: "prod",
    now: NOW,
    settledMs: 10 * MINUTE,
    records: good,
    live: [],
    rollouts: walked,
    automated: false,
    ...change
  })

const chosen = (change: Partial<Input> = {}) => {
  const choice = asked(change)
  return choice._tag === "Choice"
    ? { release: choice.record.release, id: choice.releaseId, from: choice.from, cancel: choice.cancel }
    : choice.finding.rule
}

describe("the release that a target goes back to", () => {
  it("is the one deployed before, when what is deployed is to be taken back", () => {
    expect(chosen()).toEqual({ release: commit(1), id: "r-1", from: commit(2), cancel: [] })
  })

  it("is the deployed one after a failed rollout, where gcloud goes one further back", () => {
    const records = [...good, record(3, "deploying", null)]
    const rollouts = [...walked, rollout(3, "FAILED", 5)]
    expect(chosen({ records, rollouts })).toEqual({ release: commit(2), id: "r-2", from: commit(3), cancel: [] })
  })

  it("is the deployed one when the failed release was refused before it was recorded", () => {
    expect(chosen({ rollouts: [...walked, rollout(3, "FAILED", 5)] })).toMatchObject({ id: "r-2", from: "r-3" })
  })

  it("cancels what holds the target, so that no stuck pod can keep it waiting", () => {
    const rollouts = [...walked, rollout(3, "IN_PROGRESS", 5)]
    const records = [...good, record(3, "deploying", null)]
    expect(chosen({ records, rollouts, live: [commit(3)] })).toMatchObject({ id: "r-2", cancel: [rolloutName(3)] })
  })

  it("is found from the runners that live, when Cloud Deploy was not asked", () => {
    const records = [...good, record(3, "deploying", null)]
    expect(chosen({ records, rollouts: undefined, live: [commit(3)] })).toEqual({
      release: commit(2),
      id: undefined,
      from: commit(3),
      cancel: []
    })
  })

  it("is not the release that was rolled back before: a rollback of a rollback needs a name", () => {
    // 2 was taken back, and 1 is deployed again.
    const records = [record(1, "deployed", 20), record(2, "rollback-choice", 300)]
    const rollouts = [...walked, rollout(1, "SUCCEEDED", 20, 2)]
    expect(chosen({ records, rollouts })).toBe("rollback-of-rollback")
    expect(chosen({ records, rollouts, automated: true })).toBe("rollback-of-rollback")
    expect(chosen({ records, rollouts, to: commit(2) })).toMatchObject({ id: "r-2" })
  })

  it("must have held the target for a while, or be named by a person", () => {
    const records = [record(1, "rollback-choice", 12), record(2, "deployed", 5)]
    expect(chosen({ records })).toBe("rollback-not-settled")
    expect(chosen({ records, to: "r-1" })).toMatchObject({ release: commit(1) })
    expect(chosen({ records, settledMs: 7 * MINUTE })).toMatchObject({ release: commit(1) })
  })

  it("can be named by commit, the begin of one, or Cloud Deploy's release", () => {
    const records = [record(0, "retired", 900), ...good]
    const rollouts = [rollout(0, "SUCCEEDED", 910), ...walked]
    for (const to of [commit(0), commit(0).slice(0, 8), "r-0"]) {
      expect(chosen({ records, rollouts, to })).toMatchObject({ release: commit(0) })
    }
  })

  const refusals: ReadonlyArray<readonly [string, Partial<Input>, string]> = [
    ["automation that names one", { automated: true, to: "r-1" }, "rollback-automated"],
    ["a name nobody knows", { to: "r-9" }, "rollback-to-unknown"],
    ["the one that runs", { to: commit(2) }, "rollback-to-deployed"],
    [
      "one that was never good here",
      { records: [...good, record(3, "retired", null)], to: commit(3) },
      "rollback-never-good"
    ],
    ["a target where nothing was good", { records: [record(1, "deploying", null)] }, "rollback-no-choice"],
    ["a first release", { records: [record(1, "deployed", 300)], rollouts: [walked[0]!] }, "rollback-no-choice"],
    ["another target's database", { records: good.map((one) => ({ ...one, target: "dev" })) }, "rollback-other-target"],
    ["a release that Cloud Deploy lost", { rollouts: [walked[1]!] }, "rollback-release-unknown"]
  ]
  for (const [what, change, rule] of refusals) {
    it(`refuses ${what}`, () => {
      const choice = asked(change)
      expect(choice._tag === "Refusal" && choice.finding.rule).toBe(rule)
      if (choice._tag === "Refusal") expect(choice.finding.fix).not.toBe("")
    })
  }
})
