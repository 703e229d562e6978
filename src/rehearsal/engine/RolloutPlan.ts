/**
 * What a rollout does next, as pure functions of its resource: the whole state of the engine is what `gcloud` can describe.
 *
 * `next` never waits and never runs anything. The workflow asks it, carries out what it says, and asks again; whoever
 * approves, advances, retries or cancels only changes the resource and wakes the workflow.
 */
import {
  type Hooks,
  JOB_FIELDS,
  type Job,
  type JobField,
  type JobId,
  type Phase,
  type Release,
  type Rollout,
  releaseOf,
  type Stage
} from "./Resources.ts"

export type Step =
  /** A job that shall run. `begin`: no run of it has been made yet. */
  | {
      readonly _tag: "Run"
      readonly rollout: Rollout
      readonly phase: Phase
      readonly job: Job
      readonly begin: boolean
    }
  /** Somebody must act first, or another rollout must end. */
  | { readonly _tag: "Wait"; readonly rollout: Rollout }
  | { readonly _tag: "Done"; readonly rollout: Rollout }

export const phaseConfigs = (stage: Stage) =>
  stage.strategy?.canary?.customCanaryDeployment?.phaseConfigs ?? [
    { phaseId: "stable", percentage: 100, profiles: [] as ReadonlyArray<string>, ...stage.strategy?.standard }
  ]

/** Skaffold's profiles of a phase; the last one's manifests win. */
export const profilesOf = (stage: Stage, phaseId: string): ReadonlyArray<string> => [
  ...(stage.profiles ?? []),
  ...(phaseConfigs(stage).find((phase) => phase.phaseId === phaseId)?.profiles ?? [])
]

const job = (id: JobId, kind: JobField, detail: object, skipMessage: string | undefined): Job => ({
  id,
  state: skipMessage === undefined ? "PENDING" : "SKIPPED",
  ...(skipMessage === undefined ? {} : { skipMessage }),
  [kind]: detail
})

const jobsOf = (hooks: Hooks, skip: string | undefined): Phase["deploymentJobs"] => ({
  ...(hooks.predeploy?.actions?.length
    ? { predeployJob: job("predeploy", "predeployJob", { actions: hooks.predeploy.actions }, skip) }
    : {}),
  deployJob: job("deploy", "deployJob", {}, skip),
  ...(hooks.verify === true ? { verifyJob: job("verify", "verifyJob", {}, skip) } : {}),
  ...(hooks.postdeploy?.actions?.length
    ? { postdeployJob: job("postdeploy", "postdeployJob", { actions: hooks.postdeploy.actions }, skip) }
    : {})
})

/** The phases of a new rollout. The first one to a target goes to `stable` at once; a rollback starts where it is told. */
export const phasesOf = (
  stage: Stage,
  options: { readonly first: boolean; readonly startingPhaseId?: string | undefined }
): ReadonlyArray<Phase> => {
  const configs = phaseConfigs(stage)
  const asked = configs.findIndex((phase) => phase.phaseId === options.startingPhaseId)
  const start = options.first ? configs.length - 1 : Math.max(asked, 0)
  return configs.map((config, index) => {
    const skip =
      index >= start
        ? undefined
        : options.first
          ? "the first rollout to a target goes to stable at once"
          : `the rollout starts at ${options.startingPhaseId}`
    return {
      id: config.phaseId,
      state: skip === undefined ? "PENDING" : "SKIPPED",
      ...(skip === undefined ? {} : { skipMessage: skip }),
      deploymentJobs: jobsOf(config, skip)
    }
  })
}

export const stageOf = (release: Release, targetId: string): Stage | undefined =>
  release.deliveryPipelineSnapshot.serialPipeline?.stages?.find((stage) => stage.targetId === targetId)

const jobsIn = (phase: Phase): ReadonlyArray<readonly [JobField, Job]> =>
  JOB_FIELDS.flatMap((field) => {
    const found = phase.deploymentJobs[field]
    return found === undefined ? [] : [[field, found] as const]
  })

export const findJob = (rollout: Rollout, phaseId: string, jobId: string): Job | undefined => {
  const phase = rollout.phases.find(({ id }) => id === phaseId)
  return phase === undefined ? undefined : jobsIn(phase).find(([, { id }]) => id === jobId)?.[1]
}

export const setPhase = (rollout: Rollout, phaseId: string, change: Partial<Phase>): Rollout => ({
  ...rollout,
  phases: rollout.phases.map((phase) => (phase.id === phaseId ? { ...phase, ...change } : phase))
})

export const setJob = (rollout: Rollout, phaseId: string, jobId: string, change: Partial<Job>): Rollout => {
  const phase = rollout.phases.find(({ id }) => id === phaseId)!
  const deploymentJobs = Object.fromEntries(
    jobsIn(phase).map(([field, one]) => [field, one.id === jobId ? { ...one, ...change } : one])
  )
  return setPhase(rollout, phaseId, { deploymentJobs })
}

const OVER = ["SUCCEEDED", "SKIPPED"]

/** The phase that the rollout is in or waits for. */
export const currentPhase = (rollout: Rollout): Phase | undefined =>
  rollout.phases.find((phase) => !OVER.includes(phase.state))

/** The phase that `:advance` may begin: a PENDING one behind one that succeeded. */
export const advanceable = (rollout: Rollout): Phase | undefined => {
  const phase = currentPhase(rollout)
  if (rollout.state !== "IN_PROGRESS" || phase?.state !== "PENDING") return undefined
  return rollout.phases.some(({ state }) => state === "SUCCEEDED") ? phase : undefined
}

/** Everything that has not begun is given up. */
export const abort = (rollout: Rollout): Rollout => ({
  ...rollout,
  phases: rollout.phases.map((phase) =>
    OVER.includes(phase.state)
      ? phase
      : {
          ...phase,
          state: "ABORTED" as const,
          deploymentJobs: Object.fromEntries(
            jobsIn(phase).map(([field, one]) => [
              field,
              ["PENDING", "IN_PROGRESS"].includes(one.state) ? { ...one, state: "ABORTED" as const } : one
            ])
          )
        }
  )
})

/** States that a rollout never leaves. */
export const ENDED: ReadonlyArray<string> = ["SUCCEEDED", "CANCELLED", "APPROVAL_REJECTED"]
export const isOver = (rollout: Rollout): boolean => ENDED.includes(rollout.state)

/** `free`: no other rollout holds the target. `at`: now, in the form of the API. */
export const next = (rollout: Rollout, free: boolean, at: string): Step => {
  if (isOver(rollout)) return { _tag: "Done", rollout }
  if (rollout.state === "CANCELLING") {
    return { _tag: "Done", rollout: { ...abort(rollout), state: "CANCELLED", deployEndTime: at } }
  }
  if (rollout.state === "PENDING_APPROVAL" || rollout.state === "FAILED") return { _tag: "Wait", rollout }
  if (!free) return { _tag: "Wait", rollout: { ...rollout, state: "PENDING" } }
  const going: Rollout = { deployStartTime: at, ...rollout, state: "IN_PROGRESS" }
  const phase = currentPhase(going)
  if (phase === undefined) return { _tag: "Done", rollout: { ...going, state: "SUCCEEDED", deployEndTime: at } }
  if (phase.state === "PENDING") {
    if (advanceable(going) !== undefined) return { _tag: "Wait", rollout: going }
    return next(setPhase(going, phase.id, { state: "IN_PROGRESS" }), free, at)
  }
  const open = jobsIn(phase).find(([, { state }]) => !["SUCCEEDED", "IGNORED", "SKIPPED"].includes(state))?.[1]
  if (open === undefined) return next(setPhase(going, phase.id, { state: "SUCCEEDED" }), free, at)
  return { _tag: "Run", rollout: going, phase, job: open, begin: open.state !== "IN_PROGRESS" }
}

/** The rollout after a run of one of its jobs has ended. */
export const ended = (
  rollout: Rollout,
  phaseId: string,
  jobId: string,
  state: "SUCCEEDED" | "FAILED" | "TERMINATED",
  reason: string,
  at: string
): Rollout => {
  const marked = setJob(rollout, phaseId, jobId, { state: state === "TERMINATED" ? "ABORTED" : state })
  if (state === "SUCCEEDED" || rollout.state === "CANCELLING") return marked
  return {
    ...setPhase(marked, phaseId, { state: "FAILED" }),
    state: "FAILED",
    deployEndTime: at,
    deployFailureCause: jobId === "verify" ? "VERIFICATION_FAILED" : "EXECUTION_FAILED",
    failureReason: reason
  }
}

/** A failed job that shall run again, or count as if it had succeeded. */
export const repaired = (rollout: Rollout, phaseId: string, jobId: string, how: "PENDING" | "IGNORED"): Rollout => {
  const {
    deployEndTime: _,
    deployFailureCause: __,
    failureReason: ___,
    ...rest
  } = setJob(rollout, phaseId, jobId, {
    state: how
  })
  return { ...setPhase(rest as Rollout, phaseId, { state: "IN_PROGRESS" }), state: "PENDING" }
}

/**
 * The releases that a rollback of a target may bring back, from its rollouts in the order in which they were made: those that
 * succeeded there, the last good one first, without the release of the newest rollout.
 *
 * Not what gcloud's GA command takes: after a failed rollout it skips the last good release and goes one further back.
 */
export const rollbackChoices = (ofTarget: ReadonlyArray<Rollout>): ReadonlyArray<string> => {
  const newest = ofTarget.at(-1)
  if (newest === undefined) return []
  const good = ofTarget
    .filter(({ state }) => state === "SUCCEEDED")
    .sort((a, b) => (b.deployEndTime ?? "").localeCompare(a.deployEndTime ?? ""))
    .map(({ name }) => releaseOf(name))
  return [...new Set(good)].filter((release) => release !== releaseOf(newest.name))
}
