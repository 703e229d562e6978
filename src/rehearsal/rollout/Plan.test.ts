import { describe, expect, it } from "@effect/vitest"
import { type PhaseStrategy, planRollout } from "./Plan.ts"

const phase = (phaseId: string): PhaseStrategy => ({
  phaseId,
  profiles: [`prod-${phaseId}`],
  predeploy: ["gate-workflows", "migrate"],
  verify: true,
  postdeploy: ["record"]
})
const stage = { targetId: "prod", phases: [phase("one-replica"), phase("stable")] }

describe("planRollout", () => {
  it("walks every phase, each with predeploy, deploy, verify, postdeploy in this order", () => {
    const plan = planRollout({ stage, firstRollout: false })
    expect(plan.phases.map((planned) => planned.phaseId)).toEqual(["one-replica", "stable"])
    expect(plan.phases[0]!.jobs.map((job) => job.kind)).toEqual(["predeploy", "deploy", "verify", "postdeploy"])
    expect(plan.phases[0]!.jobs[0]!.actions).toEqual(["gate-workflows", "migrate"])
    expect(plan.skipped).toEqual([])
  })

  it("skips the canary phases of the first rollout to a target, as Cloud Deploy does", () => {
    const plan = planRollout({ stage, firstRollout: true })
    expect(plan.phases.map((planned) => planned.phaseId)).toEqual(["stable"])
    expect(plan.skipped).toEqual([{ phaseId: "one-replica", reason: "first rollout to this target" }])
  })

  it("starts a rollback at the phase it names", () => {
    const plan = planRollout({ stage, firstRollout: false, startAt: "stable" })
    expect(plan.phases.map((planned) => planned.phaseId)).toEqual(["stable"])
  })

  it("plans no job that the strategy does not ask for", () => {
    const bare = { ...phase("stable"), predeploy: [], verify: false, postdeploy: [] }
    const plan = planRollout({ stage: { targetId: "dev", phases: [bare] }, firstRollout: true })
    expect(plan.phases[0]!.jobs.map((job) => job.kind)).toEqual(["deploy"])
  })
})
