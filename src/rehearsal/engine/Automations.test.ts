import { describe, expect, it } from "@effect/vitest"
import { destination, durationMs, type Failures, plannedRuns, repairSteps } from "./Automations.ts"
import type { Automation, AutomationRule, JobId, JobState, Phase, Rollout } from "./Resources.ts"

const stages = [{ targetId: "dev" }, { targetId: "staging" }, { targetId: "prod" }]
const automation = (rule: AutomationRule, more: Partial<Automation> = {}): Automation => ({
  name: "p/automations/a",
  selector: { targets: [{ id: "dev" }] },
  rules: [rule],
  ...more
})
const phase = (id: string, state: Phase["state"], verify: JobState): Phase => ({
  id,
  state,
  deploymentJobs: { deployJob: { id: "deploy", state: "SUCCEEDED" }, verifyJob: { id: "verify", state: verify } }
})
const rollout = (state: Rollout["state"], phases: ReadonlyArray<Phase> = [], more: Partial<Rollout> = {}): Rollout => ({
  name: "p/rollouts/r",
  targetId: "dev",
  state,
  approvalState: "DOES_NOT_NEED_APPROVAL",
  phases,
  ...more
})
const times = (count: number, jobId: JobId): Failures =>
  Array.from({ length: count }, () => ({ phaseId: "stable", jobId }))
const plan = (one: Automation, of: Rollout, failures = 0, others: Failures = []) =>
  plannedRuns([one], of, { name: "p/targets/dev", labels: { tier: "1" } }, stages, [
    ...times(failures, "verify"),
    ...others
  ]).map(({ key, waitMs, intent }) => ({ key, waitMs, intent }))

describe("promote", () => {
  const rule = { promoteReleaseRule: { id: "up", wait: "300s", destinationTargetId: "@next" } }
  it("promotes to the next stage once a rollout succeeded", () => {
    expect(plan(automation(rule), rollout("SUCCEEDED"))).toEqual([
      { key: "a-up-r-succeeded", waitMs: 300_000, intent: { _tag: "Promote", targetId: "staging", phase: undefined } }
    ])
  })
  it.each([
    ["a failed rollout", automation(rule), rollout("FAILED")],
    ["a rollback", automation(rule), rollout("SUCCEEDED", [], { rollbackOfRollout: "x" })],
    ["a suspended automation", automation(rule, { suspended: true }), rollout("SUCCEEDED")],
    ["another target", automation(rule, { selector: { targets: [{ id: "prod" }] } }), rollout("SUCCEEDED")],
    ["other labels", automation(rule, { selector: { targets: [{ labels: { tier: "2" } }] } }), rollout("SUCCEEDED")]
  ])("does nothing for %s", (_, one, of) => {
    expect(plan(one, of)).toEqual([])
  })
  it.each([
    ["dev", "@next", "staging"],
    ["dev", undefined, "staging"],
    ["dev", "prod", "prod"],
    ["prod", "@next", undefined],
    ["a target that has left the pipeline", "@next", undefined]
  ])("from %s to %s is %s", (from, to, answer) => {
    expect(destination(stages, from, to)).toBe(answer)
  })
})

describe("advance", () => {
  const waiting = rollout("IN_PROGRESS", [
    phase("one-replica", "SUCCEEDED", "SUCCEEDED"),
    phase("stable", "PENDING", "PENDING")
  ])
  const rule = (sourcePhases: ReadonlyArray<string>) =>
    automation({ advanceRolloutRule: { id: "on", wait: "60s", sourcePhases } })
  it.each([[["one-replica"]], [[]]])("advances from %j", (from) => {
    expect(plan(rule(from), waiting)).toMatchObject([{ waitMs: 60_000, intent: { _tag: "Advance", phase: "stable" } }])
  })
  it("leaves other phases and rollouts that wait for nothing alone", () => {
    expect(plan(rule(["half"]), waiting)).toEqual([])
    expect(plan(rule([]), rollout("IN_PROGRESS", [phase("stable", "IN_PROGRESS", "PENDING")]))).toEqual([])
  })
})

describe("repair", () => {
  const rule = {
    id: "mend",
    phases: ["stable"],
    jobs: ["verify"],
    repairPhases: [
      { retry: { attempts: "2", wait: "60s", backoffMode: "BACKOFF_MODE_LINEAR" } },
      { rollback: { destinationPhase: "stable", disableRollbackIfRolloutPending: true } }
    ]
  }
  const failed = rollout("FAILED", [phase("stable", "FAILED", "FAILED")])
  it.each([
    [1, [{ waitMs: 60_000, intent: { _tag: "Retry", phase: "stable", job: "verify", attempt: 1 } }]],
    [2, [{ waitMs: 60_000, intent: { _tag: "Retry", phase: "stable", job: "verify", attempt: 2 } }]],
    [3, [{ waitMs: 0, intent: { _tag: "Rollback", phase: "stable", unlessPending: true } }]],
    [4, []]
  ])("failure %i", (failures, runs) => {
    expect(plan(automation({ repairRolloutRule: rule }), failed, failures)).toMatchObject(runs)
  })
  it("counts the failures of each job of each phase on its own", () => {
    const others = [...times(3, "deploy"), { phaseId: "half", jobId: "verify" as const }]
    expect(plan(automation({ repairRolloutRule: rule }), failed, 1, others)).toMatchObject([
      { key: "a-mend-r-stable-verify-failure-1", intent: { _tag: "Retry", attempt: 1 } }
    ])
  })
  it("leaves other jobs, other phases and rollouts that did not fail alone", () => {
    expect(plan(automation({ repairRolloutRule: { ...rule, jobs: ["deploy"] } }), failed, 1)).toEqual([])
    expect(plan(automation({ repairRolloutRule: { ...rule, phases: ["half"] } }), failed, 1)).toEqual([])
    expect(plan(automation({ repairRolloutRule: rule }), { ...failed, state: "IN_PROGRESS" }, 1)).toEqual([])
  })
  it("doubles the wait when the backoff is exponential", () => {
    const retry = { attempts: 3, wait: "10s", backoffMode: "BACKOFF_MODE_EXPONENTIAL" }
    expect(repairSteps([{ retry }]).map(({ waitMs }) => waitMs)).toEqual([10_000, 20_000, 40_000])
  })
  it.each([
    ["300s", 300_000],
    ["0.5s", 500],
    [undefined, 0]
  ])("reads the duration %s", (text, ms) => {
    expect(durationMs(text)).toBe(ms)
  })
})
