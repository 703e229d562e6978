import { describe, expect, it } from "@effect/vitest"
import type { JobId, Rollout, Stage } from "./Resources.ts"
import {
  abort,
  advanceable,
  ended,
  findJob,
  next,
  phasesOf,
  repaired,
  rollbackChoices,
  setJob,
  setPhase
} from "./RolloutPlan.ts"

const AT = "2026-01-10T12:00:00.000Z"
const hooks = { predeploy: { actions: ["migrate"] }, verify: true, postdeploy: { actions: ["record"] } }
const stage: Stage = {
  targetId: "prod",
  strategy: {
    canary: {
      customCanaryDeployment: {
        phaseConfigs: [
          { phaseId: "one-replica", ...hooks },
          { phaseId: "stable", ...hooks }
        ]
      }
    }
  }
}
const rollout = (options: { readonly first: boolean; readonly startingPhaseId?: string }): Rollout => ({
  name: "r",
  targetId: "prod",
  state: "PENDING",
  approvalState: "DOES_NOT_NEED_APPROVAL",
  phases: phasesOf(stage, options)
})

/** Runs jobs until the rollout waits or is done; `failing` fails. */
const walk = (from: Rollout, failing?: string) => {
  const ran: Array<string> = []
  let at = from
  for (;;) {
    const step = next(at, true, AT)
    if (step._tag !== "Run") return { ran, rollout: step.rollout, tag: step._tag }
    const name = `${step.phase.id}/${step.job.id}`
    ran.push(name)
    at = ended(step.rollout, step.phase.id, step.job.id, name === failing ? "FAILED" : "SUCCEEDED", "because", AT)
  }
}
const jobs = (phase: string) => ["predeploy", "deploy", "verify", "postdeploy"].map((job) => `${phase}/${job}`)

describe("a rollout", () => {
  it("runs the jobs of a phase in order, waits between phases, and ends after the last", () => {
    const canary = walk(rollout({ first: false }))
    expect(canary).toMatchObject({ ran: jobs("one-replica"), tag: "Wait", rollout: { state: "IN_PROGRESS" } })
    expect(advanceable(canary.rollout)?.id).toBe("stable")
    const stable = walk(setPhase(canary.rollout, "stable", { state: "IN_PROGRESS" }))
    expect(stable).toMatchObject({
      ran: jobs("stable"),
      tag: "Done",
      rollout: { state: "SUCCEEDED", deployEndTime: AT }
    })
  })

  it.each([
    ["the first to a target", { first: true }],
    ["one that starts there", { first: false, startingPhaseId: "stable" }]
  ])("%s goes to stable at once", (_, options) => {
    const walked = walk(rollout(options))
    expect(walked).toMatchObject({ ran: jobs("stable"), tag: "Done", rollout: { state: "SUCCEEDED" } })
    expect(walked.rollout.phases[0]).toMatchObject({
      state: "SKIPPED",
      deploymentJobs: { deployJob: { state: "SKIPPED" } }
    })
  })

  it("plans no job that the strategy does not ask for", () => {
    expect(phasesOf({ targetId: "dev" }, { first: true })).toMatchObject([
      { id: "stable", deploymentJobs: { deployJob: { state: "PENDING" } } }
    ])
    expect(Object.keys(phasesOf({ targetId: "dev" }, { first: true })[0]!.deploymentJobs)).toEqual(["deployJob"])
  })

  it.each([
    ["predeploy", 1, "EXECUTION_FAILED"],
    ["deploy", 2, "EXECUTION_FAILED"],
    ["verify", 3, "VERIFICATION_FAILED"],
    ["postdeploy", 4, "EXECUTION_FAILED"]
  ] as const)("a %s that fails ends it; later jobs do not run", (job, count, deployFailureCause) => {
    const failed = walk(rollout({ first: true }), `stable/${job}`)
    expect(failed).toMatchObject({
      ran: jobs("stable").slice(0, count),
      tag: "Wait",
      rollout: { state: "FAILED", deployFailureCause, failureReason: "because", deployEndTime: AT }
    })
    for (const later of jobs("stable").slice(count)) {
      expect(findJob(failed.rollout, "stable", later.slice("stable/".length))?.state).toBe("PENDING")
    }
  })

  it.each([
    ["PENDING", ["stable/verify", "stable/postdeploy"]],
    ["IGNORED", ["stable/postdeploy"]]
  ] as const)("goes on where it failed when the job is made %s", (how, ran) => {
    const failed = walk(rollout({ first: true }), "stable/verify").rollout
    const again = repaired(failed, "stable", "verify", how)
    expect(again).not.toHaveProperty("failureReason")
    expect(again).not.toHaveProperty("deployEndTime")
    expect(walk(again)).toMatchObject({ ran, tag: "Done", rollout: { state: "SUCCEEDED" } })
  })

  it("waits for its turn, for approval, and after a failure", () => {
    const one = rollout({ first: true })
    expect(next(one, false, AT)).toMatchObject({ _tag: "Wait", rollout: { state: "PENDING" } })
    for (const state of ["PENDING_APPROVAL", "FAILED"] as const) {
      expect(next({ ...one, state }, true, AT)).toMatchObject({ _tag: "Wait", rollout: { state } })
    }
  })

  it("does not begin a job twice", () => {
    const step = next(rollout({ first: true }), true, AT)
    if (step._tag !== "Run") throw new Error(step._tag)
    expect(step.begin).toBe(true)
    const begun = setJob(step.rollout, step.phase.id, step.job.id, { state: "IN_PROGRESS" })
    expect(next(begun, true, AT)).toMatchObject({ _tag: "Run", begin: false, job: { id: "predeploy" satisfies JobId } })
  })

  it("gives up what has not ended when it is cancelled, and keeps what has", () => {
    const waiting = walk(rollout({ first: false })).rollout
    const step = next({ ...waiting, state: "CANCELLING" }, true, AT)
    expect(step).toMatchObject({ _tag: "Done", rollout: { state: "CANCELLED", deployEndTime: AT } })
    expect(step.rollout.phases.map(({ state }) => state)).toEqual(["SUCCEEDED", "ABORTED"])
    expect(findJob(step.rollout, "stable", "deploy")?.state).toBe("ABORTED")
    const failed = abort(walk(rollout({ first: true }), "stable/deploy").rollout)
    expect(findJob(failed, "stable", "deploy")?.state).toBe("FAILED")
    expect(findJob(failed, "stable", "verify")?.state).toBe("ABORTED")
  })
})

describe("what a rollback may bring back", () => {
  type Made = readonly [release: string, state: Rollout["state"]]
  const ofTarget = (made: ReadonlyArray<Made>) =>
    made.map(
      ([release, state], at): Rollout => ({
        ...rollout({ first: false }),
        name: `projects/p/locations/l/deliveryPipelines/d/releases/${release}/rollouts/${at}`,
        state,
        deployEndTime: `2026-01-10T12:00:0${at}.000Z`
      })
    )
  const choices = (...made: ReadonlyArray<Made>) =>
    rollbackChoices(ofTarget(made)).map((name) => name.slice(name.lastIndexOf("/") + 1))

  it("is nothing where one release alone was", () => {
    expect(choices()).toEqual([])
    expect(choices(["a", "SUCCEEDED"])).toEqual([])
    expect(choices(["a", "SUCCEEDED"], ["a", "FAILED"])).toEqual([])
  })

  it("is the last good release after a failure, which gcloud's own command skips", () => {
    expect(choices(["a", "SUCCEEDED"], ["b", "SUCCEEDED"], ["c", "FAILED"])).toEqual(["b", "a"])
  })

  it("is the release before, after a success, and each but once", () => {
    expect(choices(["a", "SUCCEEDED"], ["b", "SUCCEEDED"], ["a", "SUCCEEDED"], ["c", "SUCCEEDED"])).toEqual(["a", "b"])
  })

  it("is never one that did not succeed there", () => {
    expect(choices(["a", "SUCCEEDED"], ["b", "APPROVAL_REJECTED"], ["c", "IN_PROGRESS"])).toEqual(["a"])
  })
})
