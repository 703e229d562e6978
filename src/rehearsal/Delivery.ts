/** A release's own delivery files, as the rehearsal carries them out: stages of its pipeline, manifests and hooks of a phase. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import {
  type DeliveryConfigInvalid,
  readDelivery,
  type SkaffoldConfig,
  strategyOf
} from "./clouddeploy/DeliveryConfig.ts"
import type { KubeObject } from "./drivers/Driver.ts"
import { PreconditionMissing, ToolFailed } from "./Errors.ts"
import { type HookContainer, hookJob } from "./release/HookJob.ts"
import type { Release } from "./release/Release.ts"
import { parseObjects, render } from "./release/Render.ts"
import type { PlannedPhase, StageStrategy } from "./rollout/Plan.ts"
import type { Hook, PhaseFiles } from "./rollout/Rollout.ts"

export interface DeliveryStage extends StageStrategy {
  readonly requireApproval: boolean
  readonly deployParameters: Readonly<Record<string, string>>
}

/** What one release brings along. Like Cloud Deploy we use the release's snapshot, not the files of today. */
export interface SourceFiles {
  readonly phase: (phase: Pick<PlannedPhase, "profiles">, target: string) => PhaseFiles
  /** Everything that a walk to these stages will ask of a cluster: manifests of all phases, and their hooks. */
  readonly everything: (stages: ReadonlyArray<DeliveryStage>) => Effect.Effect<ReadonlyArray<KubeObject>, ToolFailed>
  /** A Job made of a CronJob that the overlay of this target schedules. */
  readonly scheduled: (profiles: ReadonlyArray<string>, name: string) => Effect.Effect<Hook, ToolFailed>
}

export interface ReleaseFiles extends SourceFiles {
  readonly pipelineId: string
  readonly stages: ReadonlyArray<DeliveryStage>
}

export const stagesOf = (
  delivery: Effect.Effect.Success<ReturnType<typeof readDelivery>>
): ReadonlyArray<DeliveryStage> =>
  delivery.pipelines[0]!.serialPipeline.stages.map((stage) => {
    const target = delivery.targets.find((candidate) => candidate.metadata.name === stage.targetId)
    return {
      ...strategyOf(stage),
      requireApproval: target?.requireApproval ?? false,
      deployParameters: Object.assign(
        {},
        target?.deployParameters,
        ...(stage.deployParameters ?? []).map((parameters) => parameters.values)
      ) as Record<string, string>
    }
  })

/** With several profiles the last one's manifests win, as with Skaffold. */
const overlayOf = (skaffold: SkaffoldConfig, profiles: ReadonlyArray<string>): Effect.Effect<string, ToolFailed> => {
  const profile = profiles.map((name) => skaffold.profiles.find((candidate) => candidate.name === name)).at(-1)
  const paths = profile?.manifests.kustomize.paths ?? []
  return paths.length === 1
    ? Effect.succeed(paths[0]!)
    : new ToolFailed({
        message: `The profiles [${profiles.join(", ")}] of skaffold.yaml name ${paths.length} kustomize folders. Exactly one is expected.`
      })
}

export const load = (
  release: Release,
  kustomize: string
): Effect.Effect<ReleaseFiles, DeliveryConfigInvalid | PreconditionMissing> =>
  Effect.gen(function* () {
    const delivery = yield* readDelivery(release.source)
    if (delivery.pipelines.length !== 1) {
      return yield* new PreconditionMissing({
        message: `clouddeploy/ holds ${delivery.pipelines.length} pipelines (${delivery.pipelines.map((pipeline) => pipeline.metadata.name).join(", ")}). The rehearsal walks one.`
      })
    }
    const pipelineId = delivery.pipelines[0]!.metadata.name
    return {
      ...filesOf({ release, skaffold: delivery.skaffold, kustomize, pipelineId }),
      pipelineId,
      stages: stagesOf(delivery)
    }
  })

/** What `skaffold.yaml` of a release says, whatever pipeline it goes through. */
export const filesOf = (options: {
  readonly release: Release
  readonly skaffold: SkaffoldConfig
  readonly kustomize: string
  readonly pipelineId: string
}): SourceFiles => {
  const { release, skaffold, kustomize, pipelineId } = options
  const manifests = (profiles: ReadonlyArray<string>, target: string) =>
    overlayOf(skaffold, profiles).pipe(
      Effect.flatMap((path) =>
        render({
          release,
          path,
          kustomize,
          labels: {
            "deploy.cloud.google.com/delivery-pipeline-id": pipelineId,
            "deploy.cloud.google.com/release-id": release.name,
            "deploy.cloud.google.com/target-id": target
          },
          rules: skaffold.resourceSelector?.allow ?? []
        })
      )
    )

  const hook = (
    container: HookContainer,
    jobManifestPath: string,
    timeoutSeconds: number
  ): Effect.Effect<Hook, ToolFailed> =>
    Effect.gen(function* () {
      const text = yield* Effect.tryPromise({
        try: () => readFile(join(release.source, jobManifestPath), "utf8"),
        catch: () => new ToolFailed({ message: `${jobManifestPath} of ${release.name} can't be read.` })
      })
      const [base] = yield* parseObjects(text, jobManifestPath)
      return { name: container.name, job: hookJob(container, release.images, base), timeoutMs: timeoutSeconds * 1000 }
    })

  const phaseFiles = (phase: Pick<PlannedPhase, "profiles">, target: string): PhaseFiles => ({
    manifests: manifests(phase.profiles, target),
    action: (name) =>
      Effect.suspend(() => {
        const action = skaffold.customActions.find((candidate) => candidate.name === name)
        return action === undefined
          ? new ToolFailed({ message: `skaffold.yaml of ${release.name} has no custom action "${name}".` })
          : Effect.forEach(action.containers, (container) =>
              hook(container, action.executionMode.kubernetesCluster.jobManifestPath, action.timeout)
            )
      }),
    verify: Effect.forEach(skaffold.verify, (test) =>
      hook(test.container, test.executionMode.kubernetesCluster.jobManifestPath, test.timeout)
    ),
    deadlineMs: skaffold.deploy.statusCheckDeadlineSeconds * 1000
  })

  return {
    phase: phaseFiles,
    everything: (stages) =>
      Effect.gen(function* () {
        const objects: Array<KubeObject> = []
        for (const { targetId, phases } of stages) {
          for (const phase of phases) {
            const files = phaseFiles(phase, targetId)
            const actions = [...phase.predeploy, ...phase.postdeploy]
            const hooks = [
              ...(yield* Effect.forEach(actions, files.action)).flat(),
              ...(phase.verify ? yield* files.verify : [])
            ]
            objects.push(...(yield* files.manifests), ...hooks.map((hook) => hook.job))
          }
        }
        return objects
      }),
    scheduled: (profiles, name) =>
      Effect.gen(function* () {
        const objects = yield* manifests(profiles, "")
        const cron = objects.find((object) => object.kind === "CronJob" && object.metadata.name === name)
        const spec = cron?.["spec"] as { readonly jobTemplate: { readonly spec: Record<string, unknown> } } | undefined
        if (spec === undefined) {
          return yield* new ToolFailed({
            message: `The manifests of [${profiles.join(", ")}] hold no CronJob ${name}.`
          })
        }
        const seconds = spec.jobTemplate.spec["activeDeadlineSeconds"]
        return {
          name,
          job: {
            apiVersion: "batch/v1",
            kind: "Job",
            metadata: { name, namespace: cron?.metadata.namespace ?? "default" },
            spec: spec.jobTemplate.spec
          },
          timeoutMs: typeof seconds === "number" ? seconds * 1000 : 600_000
        }
      })
  }
}
