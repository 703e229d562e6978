/** What automations make of an event of a rollout. Pure. */
import {
  type Automation,
  type AutomationRule,
  type AutomationRun,
  type JobRun,
  lastOf,
  type RepairPhase,
  type Rollout,
  type Stage,
  type Target
} from "./Resources.ts"
import { advanceable } from "./RolloutPlan.ts"

/** What an automation run will do once its wait is over. */
export type Intent =
  | { readonly _tag: "Promote"; readonly targetId: string; readonly phase: string | undefined }
  | { readonly _tag: "Advance"; readonly phase: string }
  | { readonly _tag: "Retry"; readonly phase: string; readonly job: string; readonly attempt: number }
  | { readonly _tag: "Rollback"; readonly phase: string | undefined; readonly unlessPending: boolean }

export interface PlannedRun {
  /** The same for the same event: an event that is seen twice makes one run. */
  readonly key: string
  readonly automation: Automation
  readonly ruleId: string
  readonly waitMs: number
  readonly intent: Intent
}

/** `300s` in milliseconds. */
export const durationMs = (text: string | undefined): number =>
  Number(/^(\d+(?:\.\d+)?)s$/.exec(text ?? "")?.[1] ?? 0) * 1000

/** The repair steps of a rule in order, each attempt one. */
export const repairSteps = (
  phases: ReadonlyArray<RepairPhase>
): ReadonlyArray<{ readonly waitMs: number; readonly rollback?: NonNullable<RepairPhase["rollback"]> }> =>
  phases.flatMap(({ retry, rollback }) => {
    if (rollback !== undefined) return [{ waitMs: 0, rollback }]
    const wait = durationMs(retry?.wait)
    return Array.from({ length: Number(retry?.attempts ?? 1) }, (_, i) => ({
      waitMs: retry?.backoffMode === "BACKOFF_MODE_EXPONENTIAL" ? wait * 2 ** i : wait
    }))
  })

export const selected = (automation: Automation, target: Target) =>
  (automation.selector?.targets ?? []).some(
    ({ id, labels }) =>
      (id === undefined || id === "*" || id === lastOf(target.name)) &&
      Object.entries(labels ?? {}).every(([key, value]) => target.labels?.[key] === value)
  )

export const destination = (stages: ReadonlyArray<Stage>, from: string, to: string | undefined): string | undefined => {
  if (to !== undefined && to !== "@next") return to
  const at = stages.findIndex((stage) => stage.targetId === from)
  return at === -1 ? undefined : stages[at + 1]?.targetId
}

/** The runs of this rollout's jobs that have failed so far. Each job is repaired on its own: attempts of one are not another's. */
export type Failures = ReadonlyArray<Pick<JobRun, "phaseId" | "jobId">>

const planRule = (
  rule: AutomationRule,
  rollout: Rollout,
  stages: ReadonlyArray<Stage>,
  failed: Failures
): { readonly id: string; readonly event: string; readonly waitMs: number; readonly intent: Intent } | undefined => {
  const { promoteReleaseRule: promote, advanceRolloutRule: advance, repairRolloutRule: repair } = rule
  if (promote !== undefined && rollout.state === "SUCCEEDED" && rollout.rollbackOfRollout === undefined) {
    const targetId = destination(stages, rollout.targetId, promote.destinationTargetId)
    if (targetId === undefined) return undefined
    return {
      id: promote.id,
      event: "succeeded",
      waitMs: durationMs(promote.wait),
      intent: { _tag: "Promote", targetId, phase: promote.destinationPhase }
    }
  }
  if (advance !== undefined) {
    const phase = advanceable(rollout)
    if (phase === undefined) return undefined
    const before = rollout.phases[rollout.phases.indexOf(phase) - 1]!.id
    if (advance.sourcePhases?.length && !advance.sourcePhases.includes(before)) return undefined
    return {
      id: advance.id,
      event: `advance-${phase.id}`,
      waitMs: durationMs(advance.wait),
      intent: { _tag: "Advance", phase: phase.id }
    }
  }
  if (repair !== undefined && rollout.state === "FAILED") {
    const phase = rollout.phases.find(({ state }) => state === "FAILED")
    const job = Object.values(phase?.deploymentJobs ?? {}).find(({ state }) => state === "FAILED")
    if (phase === undefined || job === undefined) return undefined
    if (repair.phases?.length && !repair.phases.includes(phase.id)) return undefined
    if (repair.jobs?.length && !repair.jobs.includes(job.id)) return undefined
    const failures = failed.filter(({ phaseId, jobId }) => phaseId === phase.id && jobId === job.id).length
    const step = repairSteps(repair.repairPhases ?? [])[failures - 1]
    if (step === undefined) return undefined
    return {
      id: repair.id,
      event: `${phase.id}-${job.id}-failure-${failures}`,
      waitMs: step.waitMs,
      intent:
        step.rollback === undefined
          ? { _tag: "Retry", phase: phase.id, job: job.id, attempt: failures }
          : {
              _tag: "Rollback",
              phase: step.rollback.destinationPhase,
              unlessPending: step.rollback.disableRollbackIfRolloutPending === true
            }
    }
  }
  return undefined
}

export const plannedRuns = (
  automations: ReadonlyArray<Automation>,
  rollout: Rollout,
  target: Target,
  stages: ReadonlyArray<Stage>,
  failed: Failures
): ReadonlyArray<PlannedRun> =>
  automations
    .filter((automation) => automation.suspended !== true && selected(automation, target))
    .flatMap((automation) =>
      (automation.rules ?? []).flatMap((rule) => {
        const planned = planRule(rule, rollout, stages, failed)
        return planned === undefined
          ? []
          : [
              {
                key: `${lastOf(automation.name)}-${planned.id}-${lastOf(rollout.name)}-${planned.event}`,
                automation,
                ruleId: planned.id,
                waitMs: planned.waitMs,
                intent: planned.intent
              }
            ]
      })
    )

/** The run as it is kept. Until when it waits is kept in it, so that it survives. */
export const runOf = (pipeline: string, rollout: Rollout, planned: PlannedRun, now: number): AutomationRun => ({
  name: `${pipeline}/automationRuns/${planned.key}`,
  state: planned.waitMs > 0 ? "PENDING" : "IN_PROGRESS",
  automationId: lastOf(planned.automation.name),
  automationSnapshot: planned.automation,
  ruleId: planned.ruleId,
  targetId: rollout.targetId,
  rollout: rollout.name,
  waitMs: planned.waitMs,
  waitUntilTime: new Date(now + planned.waitMs).toISOString(),
  intent: planned.intent
})
