/** One target during a rehearsal: its cluster, its database, and how a release is rolled out to it. */
import { Effect } from "effect"
import * as GatewayClient from "../drills/GatewayClient.ts"
import type { DeliveryStage, ReleaseFiles } from "./Delivery.ts"
import type { Cluster, DriverFailed, ManifestRefused, NotFound } from "./drivers/Driver.ts"
import type { ToolFailed } from "./Errors.ts"
import * as Live from "./Live.ts"
import type { TargetPlatform } from "./Platform.ts"
import { type Progress, seconds } from "./Progress.ts"
import { PLACE, type RolloutApi } from "./RolloutApi.ts"
import type { Release } from "./release/Release.ts"
import type { Step } from "./report/Report.ts"
import { planRollout } from "./rollout/Plan.ts"
import { type JobRun, type RolloutEvent, type RolloutResult, runRollout } from "./rollout/Rollout.ts"

export interface Target {
  readonly stage: DeliveryStage
  readonly cluster: Cluster
  readonly platform: TargetPlatform
  /** The releases that reached this target, oldest first. */
  readonly deployed: Array<Release>
  /** What its hooks may ask about their rollout. Absent where pods can't reach this process: the record then says so. */
  readonly api?: RolloutApi
}

const REFUSED = 10
const UNDECIDED = 11

export const verdictOf = (run: Pick<JobRun, "state" | "exitCode">): string => {
  if (run.state === "SUCCEEDED") return "passed"
  if (run.exitCode === REFUSED) return "refused"
  if (run.exitCode === UNDECIDED) return "undecided"
  return "failed"
}

export interface RolloutOutcome {
  readonly result: RolloutResult
  /** One for each phase that ran. */
  readonly steps: ReadonlyArray<Step>
}

const showEvent =
  (progress: Progress, where: string, release: Release) =>
  (event: RolloutEvent): Effect.Effect<void> => {
    switch (event._tag) {
      case "PhaseStarted":
        return progress.say(where, `${release.name}: phase ${event.phaseId}`)
      case "JobStarted":
      case "JobLine":
        return Effect.void
      case "JobEnded": {
        const { run } = event
        const text = `  ${run.kind === run.name ? run.kind : `${run.kind} ${run.name}`}`.padEnd(28)
        return progress
          .say(where, `${text} ${verdictOf(run)}  ${seconds(run.durationMs)}`)
          .pipe(Effect.andThen(run.state === "FAILED" ? progress.quote(run.log.slice(-40)) : Effect.void))
      }
    }
  }

/**
 * Rolls a release out to a target, phase by phase. `expected` says with which outcome this rollout shows what it is there to
 * show; `purpose` names it in the report.
 */
export const rollOut = (options: {
  readonly target: Target
  readonly release: Release
  readonly files: ReleaseFiles
  readonly progress: Progress
  readonly purpose: string
  readonly expected: Step["outcome"]
  readonly number: number
  readonly startAt?: string
  /** Undefined where nobody had to. */
  readonly approvedAt?: number
}): Effect.Effect<RolloutOutcome, ToolFailed | DriverFailed | ManifestRefused> =>
  Effect.gen(function* () {
    const { target, release, files, progress } = options
    const where = target.stage.targetId
    const plan = planRollout({
      stage: target.stage,
      firstRollout: target.deployed.length === 0,
      ...(options.startAt === undefined ? {} : { startAt: options.startAt })
    })
    for (const skipped of plan.skipped) {
      yield* progress.say(where, `${release.name}: phase ${skipped.phaseId} skipped (${skipped.reason})`)
    }
    const before = target.deployed.at(-1)
    // By the phase that a further one follows.
    const live = new Map<string, ReadonlyArray<Live.Live>>()
    const rolloutId = `${release.name}-to-${where}-${String(options.number).padStart(4, "0")}`
    const told = yield* target.api?.begin({
      pipeline: files.pipelineId,
      release: release.name,
      rollout: rolloutId,
      images: release.images,
      approvedAt: options.approvedAt
    }) ?? Effect.succeed(undefined)
    const show = showEvent(progress, where, release)
    const result = yield* runRollout({
      cluster: target.cluster,
      plan,
      files: (phase) => files.phase(phase, where),
      env: (phase) => ({
        ...target.stage.deployParameters,
        ...target.api?.env,
        CLOUD_DEPLOY_PROJECT: PLACE.project,
        CLOUD_DEPLOY_PROJECT_ID: PLACE.project,
        CLOUD_DEPLOY_LOCATION: PLACE.location,
        CLOUD_DEPLOY_DELIVERY_PIPELINE: files.pipelineId,
        CLOUD_DEPLOY_TARGET: where,
        CLOUD_DEPLOY_RELEASE: release.name,
        CLOUD_DEPLOY_ROLLOUT: rolloutId,
        CLOUD_DEPLOY_PHASE: phase.phaseId
      }),
      advance: (phase) =>
        Effect.gen(function* () {
          const ended = plan.phases[plan.phases.indexOf(phase) - 1]!
          if (before !== undefined) {
            const seen = yield* Live.read(target.cluster, [release, before])
            live.set(ended.phaseId, seen)
            yield* progress.say(where, `${release.name}: runners live at ${ended.phaseId}: ${Live.print(seen)}`)
          }
          yield* progress.say(where, `${release.name}: advancing to ${phase.phaseId} (the soak is not waited for here)`)
        }),
      onEvent: (event) => (told === undefined ? show(event) : Effect.zipRight(told.onEvent(event), show(event)))
    })
    if (result.state === "SUCCEEDED") {
      target.deployed.push(release)
      // Only now: until its last phase has ended well, a release may still be left by going back to the one before.
      const objects = yield* files.phase(plan.phases.at(-1)!, where).manifests
      const { removed } = yield* target.cluster.prune(objects)
      if (removed.length > 0) yield* progress.say(where, `${release.name}: pruned ${removed.join(", ")}`)
    }
    const steps = plan.phases.flatMap((phase): ReadonlyArray<Step> => {
      const runs = result.jobs.filter((run) => run.phaseId === phase.phaseId)
      if (runs.length === 0) return []
      const failed = runs.find((run) => run.state === "FAILED")
      const seen = live.get(phase.phaseId)
      const outcome = failed === undefined ? "succeeded" : verdictOf(failed) === "refused" ? "refused" : "failed"
      return [
        {
          name: `${options.purpose} to ${where}${plan.phases.length > 1 || phase.phaseId !== "stable" ? `, ${phase.phaseId}` : ""}`,
          target: where,
          release: release.name,
          durationMs: runs.reduce((sum, run) => sum + run.durationMs, 0),
          gates: runs
            .filter((run) => run.kind === "predeploy" || run.kind === "verify")
            .map((run) => ({ name: run.name, verdict: verdictOf(run), durationMs: run.durationMs })),
          outcome,
          ...(seen === undefined ? {} : { live: seen }),
          expected: outcome === options.expected
        }
      ]
    })
    return { result, steps }
  })

export const gatewayOf = (
  target: Target,
  token: Effect.Effect<string>
): Effect.Effect<GatewayClient.GatewayClient, NotFound> =>
  target.cluster
    .serviceAddress("agent-gateway", "http")
    .pipe(Effect.map(({ host, port }) => GatewayClient.make({ baseUrl: `http://${host}:${port}`, token })))
