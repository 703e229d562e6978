/** Carries out one run of a job on the host. Asked twice for the same run it finds what was begun: hooks are keyed by the run. */
import { Effect } from "effect"
import type { ToolFailed } from "../Errors.ts"
import type { Host, HostFailed } from "../host/HostClient.ts"
import type { Hook, PhaseFiles } from "../rollout/Rollout.ts"
import type { GoogleError } from "./GoogleError.ts"
import {
  JOB_FIELDS,
  type JobRun,
  lastOf,
  type Phase,
  parentOf,
  pipelineOf,
  type Release,
  type Rollout,
  releaseOf
} from "./Resources.ts"
import { phaseConfigs, profilesOf, stageOf } from "./RolloutPlan.ts"
import type { Sources } from "./Source.ts"
import type { Store } from "./Store.ts"

export interface Outcome {
  readonly state: "SUCCEEDED" | "FAILED" | "TERMINATED"
  readonly reason: string
  readonly log: ReadonlyArray<string>
}

type Failure = HostFailed | ToolFailed | GoogleError

const WAIT_MS = 2_000
const VERDICTS: Readonly<Record<number, string>> = { 10: "refused", 11: "undecided", 12: "a precondition is missing" }

/** Cloud Deploy's variables and the deploy parameters, as hooks and tests see them. */
const environment = (rollout: Rollout, release: Release, phase: Phase): Readonly<Record<string, string>> => {
  const [, project = "", , location = ""] = rollout.name.split("/")
  const stage = stageOf(release, rollout.targetId)!
  const target = release.targetSnapshots.find((one) => lastOf(one.name) === rollout.targetId)
  const matching = (stage.deployParameters ?? []).filter(({ matchTargetLabels }) =>
    Object.entries(matchTargetLabels ?? {}).every(([key, value]) => target?.labels?.[key] === value)
  )
  return {
    ...release.deployParameters,
    ...target?.deployParameters,
    ...Object.assign({}, ...matching.map(({ values }) => values)),
    CLOUD_DEPLOY_PROJECT: project,
    CLOUD_DEPLOY_PROJECT_ID: project,
    CLOUD_DEPLOY_LOCATION: location,
    CLOUD_DEPLOY_DELIVERY_PIPELINE: lastOf(pipelineOf(rollout.name)),
    CLOUD_DEPLOY_TARGET: rollout.targetId,
    CLOUD_DEPLOY_RELEASE: lastOf(release.name),
    CLOUD_DEPLOY_ROLLOUT: lastOf(rollout.name),
    CLOUD_DEPLOY_PHASE: phase.id,
    CLOUD_DEPLOY_PERCENTAGE_DEPLOY: String(
      phaseConfigs(stage).find(({ phaseId }) => phaseId === phase.id)?.percentage ?? 100
    )
  }
}

/** The last job of the last phase: until it has ended well, a release may still be left by going back to the one before. */
const isLast = (rollout: Rollout, phase: Phase, { jobId }: JobRun) => {
  const field = JOB_FIELDS.findLast((one) => phase.deploymentJobs[one] !== undefined)
  return rollout.phases.at(-1)?.id === phase.id && field !== undefined && phase.deploymentJobs[field]?.id === jobId
}

export const run = (
  jobRunName: string,
  parts: {
    readonly store: Store
    readonly host: Host
    readonly sources: Sources
    readonly hookEnvironment: Effect.Effect<Readonly<Record<string, string>>>
  }
): Effect.Effect<Outcome, Failure> =>
  Effect.gen(function* () {
    const { store, host, sources } = parts
    const jobRun = yield* store.get<JobRun>(jobRunName)
    const rollout = yield* store.get<Rollout>(parentOf(jobRunName))
    const release = yield* store.get<Release>(releaseOf(jobRunName))
    const phase = rollout.phases.find(({ id }) => id === jobRun.phaseId)!
    const target = rollout.targetId
    const stage = stageOf(release, target)!
    const source = yield* sources.filesOf(release)
    const files: PhaseFiles = source.phase({ profiles: profilesOf(stage, phase.id) }, target)
    yield* host.call("open", { target })
    const terminating = Effect.map(store.get<JobRun>(jobRunName), ({ state }) => state === "TERMINATING")

    const deploy = Effect.gen(function* () {
      const objects = yield* files.manifests
      const refused = yield* host.call("apply", { target, objects }).pipe(
        Effect.as(undefined),
        Effect.catchIf(
          ({ gone }) => !gone,
          ({ message }) => Effect.succeed(message)
        )
      )
      if (refused !== undefined) return { state: "FAILED", reason: refused, log: [refused] } as const
      // From the run's own start, so that a server that comes back does not begin the deadline anew.
      const deadline = Date.parse(jobRun.startTime) + files.deadlineMs
      while (true) {
        const { state, log } = yield* host.call("awaitRollout", { target, objects, waitMs: WAIT_MS })
        if (state === "succeeded") return { state: "SUCCEEDED", reason: "", log } as const
        if (state === "failed") return { state: "FAILED", reason: log[0] ?? "the rollout failed", log } as const
        if (yield* terminating) return { state: "TERMINATED", reason: "terminated", log } as const
        if (Date.now() > deadline) {
          const reason = `not rolled out within ${files.deadlineMs / 1000} s`
          return { state: "FAILED", reason, log: [reason] } as const
        }
      }
    })

    const hook = ({ name, job, timeoutMs }: Hook) =>
      Effect.gen(function* () {
        const key = `${jobRun.uid}-${name}`
        if (yield* terminating) return { state: "TERMINATED", reason: "terminated", log: [] } as const
        const env = { ...environment(rollout, release, phase), ...(yield* parts.hookEnvironment) }
        yield* host.call("startJob", { target, key, job, timeoutMs, env })
        while (true) {
          const { outcome } = yield* host.call("awaitJob", { key, waitMs: WAIT_MS })
          if (outcome === null) {
            if (yield* terminating) yield* host.call("stopJob", { key })
            continue
          }
          const { exitCode, timedOut, stopped, log } = outcome
          if (stopped) return { state: "TERMINATED", reason: `${name} was terminated`, log } as const
          if (exitCode === 0 && !timedOut) return { state: "SUCCEEDED", reason: "", log } as const
          const verdict = VERDICTS[exitCode]
          const reason = timedOut
            ? `${name} did not end within ${timeoutMs / 1000} s`
            : `${name} ended with exit code ${exitCode}${verdict === undefined ? "" : ` (${verdict})`}`
          return { state: "FAILED", reason, log } as const
        }
      })

    /** What the release no longer has goes. That it could not go is no fault of the release, which runs: it says so in the log. */
    const prune = Effect.gen(function* () {
      const objects = yield* files.manifests
      const said = yield* host.call("prune", { target, objects }).pipe(
        Effect.map(({ removed }) => (removed.length === 0 ? undefined : `pruned ${removed.join(", ")}`)),
        Effect.catchIf(
          ({ gone }) => !gone,
          ({ message }) => Effect.succeed(`not pruned, which the next rollout will try again: ${message}`)
        )
      )
      return said === undefined ? [] : [said]
    })
    const whole = (outcome: Outcome): Effect.Effect<Outcome, Failure> =>
      outcome.state === "SUCCEEDED" && isLast(rollout, phase, jobRun)
        ? Effect.map(prune, (said) => ({ ...outcome, log: [...outcome.log, ...said] }))
        : Effect.succeed(outcome)

    if (jobRun.jobId === "deploy") return yield* whole(yield* deploy)
    const job = jobRun.jobId === "predeploy" ? phase.deploymentJobs.predeployJob : phase.deploymentJobs.postdeployJob
    const detail = job?.[`${jobRun.jobId}Job`] as { readonly actions?: ReadonlyArray<string> } | undefined
    const hooks =
      jobRun.jobId === "verify"
        ? yield* files.verify
        : (yield* Effect.forEach(detail?.actions ?? [], files.action)).flat()
    const log: Array<string> = []
    for (const one of hooks) {
      const outcome: Outcome = yield* hook(one)
      log.push(`== ${one.name}`, ...outcome.log)
      if (outcome.state !== "SUCCEEDED") return { ...outcome, log }
    }
    return yield* whole({ state: "SUCCEEDED", reason: "", log })
  })
