import { describe, expect, it } from "vitest"
import type { JobState, Phase, Rollout } from "../engine/Resources.ts"
import { news, verdicts } from "./Follow.ts"

const phase = (
  id: string,
  states: Readonly<Record<string, JobState>>,
  state: Phase["state"] = "IN_PROGRESS"
): Phase => ({
  id,
  state,
  deploymentJobs: Object.fromEntries(
    Object.entries(states).map(([job, one]) => [`${job}Job`, { id: job, state: one, jobRun: `run-${job}` }])
  )
})
const rollout = (state: Rollout["state"], ...phases: ReadonlyArray<Phase>): Rollout => ({
  name: "p/rollouts/r-to-dev-0001",
  targetId: "dev",
  state,
  approvalState: "DOES_NOT_NEED_APPROVAL",
  phases
})
const at = (state: Rollout["state"], predeploy: JobState, deploy: JobState) =>
  rollout(state, phase("stable", { predeploy, deploy }))

describe("a push", () => {
  it.each([
    ["waits for the gates", at("IN_PROGRESS", "IN_PROGRESS", "PENDING"), { _tag: "Going" }],
    ["waits for its turn", at("PENDING", "PENDING", "PENDING"), { _tag: "Going" }],
    ["is let in by them", at("IN_PROGRESS", "SUCCEEDED", "PENDING"), { _tag: "Passed" }],
    ["is let in by them, whatever came after", at("FAILED", "SUCCEEDED", "FAILED"), { _tag: "Passed" }],
    ["is refused by them", at("FAILED", "FAILED", "ABORTED"), { _tag: "Failed", jobRun: "run-predeploy" }],
    ["is refused by who cancelled it", at("CANCELLED", "ABORTED", "ABORTED"), { _tag: "Failed" }],
    ["does not wait for an approval", at("PENDING_APPROVAL", "PENDING", "PENDING"), { _tag: "Waits" }],
    ["needs no gate", rollout("PENDING", phase("stable", { deploy: "PENDING" })), { _tag: "Passed" }],
    [
      "meets its gate in the first phase that is not skipped",
      rollout(
        "IN_PROGRESS",
        phase("one", { predeploy: "PENDING" }, "SKIPPED"),
        phase("stable", { predeploy: "SUCCEEDED" })
      ),
      { _tag: "Passed" }
    ]
  ] as const)("%s", (_, now, verdict) => {
    expect(verdicts.gated(now)).toMatchObject(verdict)
  })

  it.each([
    ["goes on behind the gates", at("IN_PROGRESS", "SUCCEEDED", "IN_PROGRESS"), { _tag: "Going" }],
    ["ends", at("SUCCEEDED", "SUCCEEDED", "SUCCEEDED"), { _tag: "Passed" }],
    ["fails behind them", at("FAILED", "SUCCEEDED", "FAILED"), { _tag: "Failed", jobRun: "run-deploy" }],
    [
      "stands between two phases",
      rollout(
        "IN_PROGRESS",
        phase("one", { deploy: "SUCCEEDED" }, "SUCCEEDED"),
        phase("stable", { deploy: "PENDING" }, "PENDING")
      ),
      { _tag: "Waits", why: "it waits to be advanced to stable" }
    ]
  ] as const)("is followed until its rollout %s", (_, now, verdict) => {
    expect(verdicts.ended(now)).toMatchObject(verdict)
  })

  it("tells each change once", () => {
    const now = at("IN_PROGRESS", "SUCCEEDED", "IN_PROGRESS")
    expect(news(undefined, now)).toEqual(["dev          predeploy SUCCEEDED", "dev          deploy IN_PROGRESS"])
    expect(news(at("IN_PROGRESS", "SUCCEEDED", "PENDING"), now)).toEqual(["dev          deploy IN_PROGRESS"])
    expect(news(now, now)).toEqual([])
  })
})
