/** What Cloud Deploy applies in each phase, and the Jobs of its hooks, for a release that never changes. */
import { join } from "node:path"
import { Effect } from "effect"
import { stringify } from "yaml"
import { readDelivery } from "../../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { filesOf, stagesOf } from "../../src/rehearsal/Delivery.ts"
import type { KubeObject } from "../../src/rehearsal/drivers/Driver.ts"
import { sharedObjects } from "../../src/rehearsal/Platform.ts"
import { Release } from "../../src/rehearsal/release/Release.ts"
import { locate } from "../../src/rehearsal/Tools.ts"

export const ROOT = join(import.meta.dirname, "..", "..")
const digest = `sha256:${"0".repeat(64)}`

export interface Golden {
  /** `prod-one-replica.yaml`. */
  readonly file: string
  readonly objects: ReadonlyArray<KubeObject>
}

export const renderAll = (images: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const { kustomize } = yield* locate(ROOT)
    const delivery = yield* readDelivery(ROOT)
    const pipelineId = delivery.pipelines[0]!.metadata.name
    const release = Release.make({
      name: "r-golden",
      commit: "golden",
      images: { agents: `agents@${digest}`, "agents-smoke": `agents-smoke@${digest}`, ...images },
      source: ROOT
    })
    const source = filesOf({ release, skaffold: delivery.skaffold, kustomize, pipelineId })
    const goldens: Array<Golden> = [{ file: "platform.yaml", objects: yield* sharedObjects(ROOT, kustomize) }]
    for (const stage of stagesOf(delivery)) {
      for (const phase of stage.phases) {
        const suffix = stage.phases.length === 1 ? "" : `-${phase.phaseId}`
        goldens.push({
          file: `${stage.targetId}${suffix}.yaml`,
          objects: yield* source.everything([{ ...stage, phases: [phase] }])
        })
      }
    }
    return goldens
  })

/** Keys in the order they were written, so that a diff shows what a person changed. */
export const textOf = ({ objects }: Golden): string =>
  objects.map((object) => stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 })).join("---\n")
