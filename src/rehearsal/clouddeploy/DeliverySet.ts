/** Everything that a work tree or a release's snapshot would deliver, rendered phase by phase: what the manifest gate judges. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import type { DeliverySet, Step } from "../../gates/manifests/Rule.ts"
import { FILE } from "../../gates/manifests/rules/UnchangingFields.ts"
import { exec } from "../Exec.ts"
import { parseObjects } from "../release/Render.ts"
import { type Delivery, strategyOf } from "./DeliveryConfig.ts"

const build = (kustomize: string, root: string, path: string) =>
  Effect.flatMap(exec(kustomize, ["build", join(root, path)]), (text) => parseObjects(text, path))

/** Renders with the real kustomize. Images are left as they are written: bare artifact names. */
export const collect = (root: string, kustomize: string, delivery: Delivery) =>
  Effect.gen(function* () {
    const paths = [...new Set(delivery.skaffold.profiles.flatMap((profile) => profile.manifests.kustomize.paths))]
    const rendered = new Map(
      yield* Effect.forEach(
        paths,
        (path) => Effect.map(build(kustomize, root, path), (objects) => [path, objects] as const),
        { concurrency: 2 }
      )
    )
    const steps: Array<Step> = []
    for (const stage of delivery.pipelines.flatMap((pipeline) => pipeline.serialPipeline.stages)) {
      const { phases } = strategyOf(stage)
      for (const [i, phase] of phases.entries()) {
        const profile = delivery.skaffold.profiles.find(({ name }) => phase.profiles.includes(name))
        const own = profile?.manifests.kustomize.paths ?? []
        steps.push({
          target: stage.targetId,
          phase: phase.phaseId,
          last: i === phases.length - 1,
          overlay: own.join(" + "),
          objects: own.flatMap((path) => rendered.get(path) ?? []),
          predeploy: phase.predeploy,
          verify: phase.verify,
          postdeploy: phase.postdeploy
        })
      }
    }
    const files = [...delivery.skaffold.customActions, ...delivery.skaffold.verify].map(
      ({ executionMode }) => executionMode.kubernetesCluster.jobManifestPath
    )
    const jobs = yield* Effect.forEach([...new Set(files)], (file) =>
      Effect.promise(() => readFile(join(root, file), "utf8")).pipe(
        Effect.flatMap((text) => parseObjects(text, file)),
        Effect.map((objects) => objects.map((object) => ({ file, object })))
      )
    )
    const unchanging = yield* Effect.promise(() => readFile(join(root, FILE), "utf8").catch(() => undefined))
    const set: DeliverySet = {
      steps,
      jobs: jobs.flat(),
      platform: yield* build(kustomize, root, "k8s/platform"),
      labelRules: delivery.skaffold.resourceSelector?.allow ?? [],
      approvals: Object.fromEntries(
        delivery.targets.map(({ metadata, requireApproval }) => [metadata.name, requireApproval === true])
      ),
      unchanging: unchanging === undefined ? undefined : (JSON.parse(unchanging) as DeliverySet["unchanging"]),
      released: false
    }
    return set
  })
