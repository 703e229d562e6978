/**
 * Carries out a planned rollout on one target's cluster.
 *
 * A hook or a smoke run that fails is an outcome with its log, not an error: the rollout is FAILED, the cluster stays as
 * it was at that moment (as with Cloud Deploy), and whoever called decides what follows. Errors are the tools' own.
 */
import { Clock, Effect } from "effect"
import type { Cluster, DriverFailed, JobOutcome, KubeObject, ManifestRefused } from "../drivers/Driver.ts"
import type { ToolFailed } from "../Errors.ts"
import type { JobKind, PlannedJob, PlannedPhase, RolloutPlan } from "./Plan.ts"

/** One container of a hook, as a Job that is ready to run. */
export interface Hook {
  readonly name: string
  readonly job: KubeObject
  readonly timeoutMs: number
}

/** What the release's own files say for one phase. */
export interface PhaseFiles {
  readonly manifests: Effect.Effect<ReadonlyArray<KubeObject>, ToolFailed>
  readonly action: (name: string) => Effect.Effect<ReadonlyArray<Hook>, ToolFailed>
  readonly verify: Effect.Effect<ReadonlyArray<Hook>, ToolFailed>
  readonly deadlineMs: number
}

export interface JobRun {
  readonly phaseId: string
  readonly kind: JobKind
  /** The action's or test's name; `deploy` for the deploy job. */
  readonly name: string
  readonly state: "SUCCEEDED" | "FAILED"
  readonly durationMs: number
  /** Absent for the deploy job. */
  readonly exitCode?: number
  readonly log: ReadonlyArray<string>
}

export interface RolloutResult {
  readonly state: "SUCCEEDED" | "FAILED"
  readonly jobs: ReadonlyArray<JobRun>
  readonly durationMs: number
  /** The job that ended it. */
  readonly failure?: JobRun
}

export type RolloutEvent =
  | { readonly _tag: "PhaseStarted"; readonly phaseId: string }
  | { readonly _tag: "JobStarted"; readonly phaseId: string; readonly kind: JobKind; readonly name: string }
  | { readonly _tag: "JobLine"; readonly phaseId: string; readonly name: string; readonly line: string }
  | { readonly _tag: "JobEnded"; readonly run: JobRun }

export interface RolloutOptions {
  readonly cluster: Cluster
  readonly plan: RolloutPlan
  readonly files: (phase: PlannedPhase) => PhaseFiles
  /** Cloud Deploy's variables and the deploy parameters, for hooks and tests. */
  readonly env: (phase: PlannedPhase) => Readonly<Record<string, string>>
  /** Asked before every phase but the first. */
  readonly advance: (phase: PlannedPhase) => Effect.Effect<void>
  readonly onEvent: (event: RolloutEvent) => Effect.Effect<void>
}

type Failure = ToolFailed | DriverFailed | ManifestRefused

/** A Job succeeded when its container ended with 0 in time. */
export const stateOf = ({ exitCode, timedOut }: Pick<JobOutcome, "exitCode" | "timedOut">): JobRun["state"] =>
  exitCode === 0 && !timedOut ? "SUCCEEDED" : "FAILED"

const runHook = (options: RolloutOptions, phase: PlannedPhase, kind: JobKind, hook: Hook) =>
  Effect.gen(function* () {
    const { cluster, onEvent } = options
    yield* onEvent({ _tag: "JobStarted", phaseId: phase.phaseId, kind, name: hook.name })
    const outcome = yield* cluster.runJob(hook.job, {
      timeoutMs: hook.timeoutMs,
      env: options.env(phase),
      onLine: (line) => {
        Effect.runFork(onEvent({ _tag: "JobLine", phaseId: phase.phaseId, name: hook.name, line }))
      }
    })
    const run: JobRun = {
      phaseId: phase.phaseId,
      kind,
      name: hook.name,
      state: stateOf(outcome),
      durationMs: outcome.durationMs,
      exitCode: outcome.exitCode,
      log: outcome.timedOut ? [...outcome.log, `Ended after its timeout of ${hook.timeoutMs / 1000} s.`] : outcome.log
    }
    yield* onEvent({ _tag: "JobEnded", run })
    return run
  })

const runDeploy = (options: RolloutOptions, phase: PlannedPhase, files: PhaseFiles) =>
  Effect.gen(function* () {
    const { cluster, onEvent } = options
    yield* onEvent({ _tag: "JobStarted", phaseId: phase.phaseId, kind: "deploy", name: "deploy" })
    const started = yield* Clock.currentTimeMillis
    const objects = yield* files.manifests
    yield* cluster.apply(objects)
    const failure = yield* cluster.awaitRollout(objects, { deadlineMs: files.deadlineMs }).pipe(
      Effect.as(undefined),
      Effect.catchTag("RolloutFailed", (error) => Effect.succeed(error))
    )
    const run: JobRun = {
      phaseId: phase.phaseId,
      kind: "deploy",
      name: "deploy",
      state: failure === undefined ? "SUCCEEDED" : "FAILED",
      durationMs: (yield* Clock.currentTimeMillis) - started,
      log: failure === undefined ? [] : [`${failure.object}: ${failure.message}`, ...failure.log]
    }
    yield* onEvent({ _tag: "JobEnded", run })
    return run
  })

/** The runs of one planned job, up to and with the first that fails. */
const runJob = (
  options: RolloutOptions,
  phase: PlannedPhase,
  files: PhaseFiles,
  job: PlannedJob
): Effect.Effect<ReadonlyArray<JobRun>, Failure> =>
  Effect.gen(function* () {
    if (job.kind === "deploy") return [yield* runDeploy(options, phase, files)]
    const hooks =
      job.kind === "verify" ? yield* files.verify : (yield* Effect.forEach(job.actions, files.action)).flat()
    const runs: Array<JobRun> = []
    for (const hook of hooks) {
      const run = yield* runHook(options, phase, job.kind, hook)
      runs.push(run)
      if (run.state === "FAILED") break
    }
    return runs
  })

/** Runs phase by phase, job by job, until the end or the first job that fails. */
export const runRollout = (options: RolloutOptions): Effect.Effect<RolloutResult, Failure> =>
  Effect.gen(function* () {
    const started = yield* Clock.currentTimeMillis
    const jobs: Array<JobRun> = []
    for (const [index, phase] of options.plan.phases.entries()) {
      if (index > 0) yield* options.advance(phase)
      yield* options.onEvent({ _tag: "PhaseStarted", phaseId: phase.phaseId })
      const files = options.files(phase)
      for (const job of phase.jobs) {
        jobs.push(...(yield* runJob(options, phase, files, job)))
        const failure = jobs.find((run) => run.state === "FAILED")
        if (failure !== undefined) {
          return { state: "FAILED", jobs, failure, durationMs: (yield* Clock.currentTimeMillis) - started }
        }
      }
    }
    return { state: "SUCCEEDED", jobs, durationMs: (yield* Clock.currentTimeMillis) - started }
  })
