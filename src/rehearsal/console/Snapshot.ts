/** Makes the console's state of the engine's resources and the host's pods. */
import { Effect } from "effect"
import {
  type AutomationRun,
  JOB_FIELDS,
  type JobRun,
  lastOf,
  type Pipeline,
  type Release,
  type Rollout,
  releaseOf,
  type Target
} from "../engine/Resources.ts"
import { advanceable, rollbackChoices } from "../engine/RolloutPlan.ts"
import { Store } from "../engine/Store.ts"
import type { Host } from "../host/HostClient.ts"
import type { Load } from "./Load.ts"
import * as Runtimes from "./Runtimes.ts"
import type { State } from "./State.ts"

/** Of each pipeline the newest are shown. */
const SHOWN = 50
const EVERYWHERE = "projects/-/locations/-"

const rolloutView = (rollout: Rollout, runs: ReadonlyMap<string, JobRun>) => {
  const next = advanceable(rollout)
  return {
    name: rollout.name,
    id: lastOf(rollout.name),
    release: lastOf(releaseOf(rollout.name)),
    target: rollout.targetId,
    state: rollout.state,
    approvalState: rollout.approvalState,
    description: rollout.description ?? "",
    failureReason: rollout.failureReason ?? null,
    rollbackOf: rollout.rollbackOfRollout ?? null,
    createTime: rollout.createTime ?? "",
    endTime: rollout.deployEndTime ?? null,
    phases: rollout.phases.map((phase) => ({
      id: phase.id,
      state: phase.state,
      advanceable: phase.id === next?.id,
      jobs: JOB_FIELDS.flatMap((field) => {
        const job = phase.deploymentJobs[field]
        if (job === undefined) return []
        const run = runs.get(job.jobRun ?? "")
        const detail = job[field] as { readonly actions?: ReadonlyArray<string> } | undefined
        const ending = run?.[`${job.id}JobRun`] as { readonly failureMessage?: string } | undefined
        return [
          {
            id: job.id,
            state: job.state,
            jobRun: job.jobRun ?? null,
            actions: [...(detail?.actions ?? [])],
            startTime: run?.startTime ?? null,
            endTime: run?.endTime ?? null,
            failure: ending?.failureMessage ?? null
          }
        ]
      })
    }))
  }
}

export const take = (host: Host, load: Load, clockScale: number) =>
  Effect.gen(function* () {
    const store = yield* Store
    const pipelines = yield* store.list<Pipeline>("deliveryPipelines", EVERYWHERE)
    const targets = yield* store.list<Target>("targets", EVERYWHERE)
    const pods = yield* host.call("pods", {}).pipe(Effect.orElseSucceed(() => ({})))
    const views = yield* Effect.forEach(pipelines, (pipeline) =>
      Effect.gen(function* () {
        const newest = <A>(all: ReadonlyArray<A>) => [...all].reverse().slice(0, SHOWN)
        const rollouts = yield* store.list<Rollout>("rollouts", `${pipeline.name}/releases/-`)
        const runs = yield* store.list<JobRun>("jobRuns", `${pipeline.name}/releases/-/rollouts/-`)
        const byName = new Map(runs.map((run) => [run.name, run]))
        return {
          name: pipeline.name,
          id: lastOf(pipeline.name),
          suspended: pipeline.suspended === true,
          targets: (pipeline.serialPipeline?.stages ?? []).map(({ targetId }) => {
            const own = rollouts.filter((rollout) => rollout.targetId === targetId)
            const good = own
              .filter(({ state }) => state === "SUCCEEDED")
              .sort((a, b) => (a.deployEndTime ?? "").localeCompare(b.deployEndTime ?? ""))
              .at(-1)
            return {
              id: targetId,
              requireApproval: targets.some((one) => lastOf(one.name) === targetId && one.requireApproval === true),
              current: good === undefined ? null : lastOf(releaseOf(good.name)),
              rollbackChoices: rollbackChoices(own).map(lastOf)
            }
          }),
          releases: newest(yield* store.list<Release>("releases", pipeline.name)).map((release) => ({
            name: release.name,
            id: lastOf(release.name),
            createTime: release.createTime ?? "",
            renderState: release.renderState,
            abandoned: release.abandoned === true,
            commit: release.annotations?.["commit"] ?? null,
            images: Object.fromEntries((release.buildArtifacts ?? []).map(({ image, tag }) => [image, tag]))
          })),
          rollouts: newest(rollouts).map((rollout) => rolloutView(rollout, byName)),
          automationRuns: newest(yield* store.list<AutomationRun>("automationRuns", pipeline.name)).map((run) => ({
            id: lastOf(run.name),
            automation: run.automationId,
            rule: run.ruleId,
            target: run.targetId,
            state: run.state,
            description: run.stateDescription ?? "",
            dueTime: String(run["waitUntilTime"] ?? "")
          }))
        }
      })
    )
    return {
      at: new Date().toISOString(),
      clockScale,
      pipelines: views,
      fleet: Object.entries(pods).flatMap(([target, list]) =>
        list.map((pod) => ({
          name: pod.name,
          target,
          owner: pod.owner,
          phase: pod.phase,
          ready: pod.ready,
          terminating: pod.terminating,
          restarts: pod.restarts,
          image: pod.images[0] ?? "",
          startedAt: pod.startedAt
        }))
      ),
      runtimes: yield* Runtimes.take(host, Object.keys(pods)),
      load: yield* load.views
    } satisfies State
  })
