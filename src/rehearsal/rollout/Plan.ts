/**
 * What a rollout will do, as a pure value: phases in order, jobs in order within each.
 *
 * As Cloud Deploy does: the first rollout to a target skips the canary phases, a rollback starts at `stable`, and in a phase the
 * jobs are predeploy, deploy, verify, postdeploy; a failed job ends the rollout there.
 */

export type JobKind = "predeploy" | "deploy" | "verify" | "postdeploy"

export interface PhaseStrategy {
  readonly phaseId: string
  readonly profiles: ReadonlyArray<string>
  readonly predeploy: ReadonlyArray<string>
  readonly verify: boolean
  readonly postdeploy: ReadonlyArray<string>
}

export interface StageStrategy {
  readonly targetId: string
  /** In order; the last one is `stable`. A standard strategy is one phase. */
  readonly phases: ReadonlyArray<PhaseStrategy>
}

export interface PlannedJob {
  readonly kind: JobKind
  /** The custom actions of a predeploy or postdeploy job, run one after the other. */
  readonly actions: ReadonlyArray<string>
}

export interface PlannedPhase {
  readonly phaseId: string
  readonly profiles: ReadonlyArray<string>
  readonly jobs: ReadonlyArray<PlannedJob>
}

export interface RolloutPlan {
  readonly targetId: string
  readonly phases: ReadonlyArray<PlannedPhase>
  /** Phases that are left out, with the reason a person can read. */
  readonly skipped: ReadonlyArray<{ readonly phaseId: string; readonly reason: string }>
}

const jobsOf = (phase: PhaseStrategy): ReadonlyArray<PlannedJob> => [
  ...(phase.predeploy.length > 0 ? [{ kind: "predeploy" as const, actions: phase.predeploy }] : []),
  { kind: "deploy", actions: [] },
  ...(phase.verify ? [{ kind: "verify" as const, actions: [] }] : []),
  ...(phase.postdeploy.length > 0 ? [{ kind: "postdeploy" as const, actions: phase.postdeploy }] : [])
]

/** `firstRollout`: nothing was ever deployed to this target. `startAt` is set by a rollback. */
export const planRollout = (options: {
  readonly stage: StageStrategy
  readonly firstRollout: boolean
  readonly startAt?: string
}): RolloutPlan => {
  const { stage, firstRollout, startAt } = options
  const last = stage.phases.length - 1
  const start = startAt === undefined ? 0 : stage.phases.findIndex((phase) => phase.phaseId === startAt)
  const from = firstRollout ? last : start === -1 ? 0 : start
  return {
    targetId: stage.targetId,
    phases: stage.phases.slice(from).map((phase) => ({
      phaseId: phase.phaseId,
      profiles: phase.profiles,
      jobs: jobsOf(phase)
    })),
    skipped: stage.phases.slice(0, from).map((phase) => ({
      phaseId: phase.phaseId,
      reason: firstRollout ? "first rollout to this target" : `starts at ${startAt}`
    }))
  }
}
