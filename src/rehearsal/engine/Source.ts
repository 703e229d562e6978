/** A release's source: the archive that was uploaded, unpacked, and the files in it that the engine carries out. */
import { mkdir, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { readSkaffold } from "../clouddeploy/Skaffold.ts"
import * as Delivery from "../Delivery.ts"
import { ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"
import { Release as ReleaseSource } from "../release/Release.ts"
import { lastOf, pipelineOf, type Release, type Stage } from "./Resources.ts"
import { phaseConfigs, profilesOf } from "./RolloutPlan.ts"

export interface Sources {
  /** Unpacks an archive (a `.tar.gz` of this machine) as the source of a release. */
  readonly unpack: (release: string, archive: string) => Effect.Effect<void, ToolFailed>
  readonly filesOf: (release: Release) => Effect.Effect<Delivery.SourceFiles, ToolFailed>
  /** Renders every phase of these stages once, so that what can't be rendered is known before any rollout. */
  readonly render: (release: Release, stages: ReadonlyArray<Stage>) => Effect.Effect<void, ToolFailed>
}

export const make = (folder: string, kustomize: string): Sources => {
  const at = (release: string) => join(folder, release.replaceAll("/", "_"))
  const filesOf: Sources["filesOf"] = (release) =>
    readSkaffold(join(at(release.name), "skaffold.yaml")).pipe(
      Effect.mapError(({ message }) => new ToolFailed({ message })),
      Effect.map((skaffold) =>
        Delivery.filesOf({
          release: ReleaseSource.make({
            name: lastOf(release.name),
            commit: release.annotations?.["commit"] ?? "",
            images: Object.fromEntries((release.buildArtifacts ?? []).map(({ image, tag }) => [image, tag])),
            source: at(release.name)
          }),
          skaffold,
          kustomize,
          pipelineId: lastOf(pipelineOf(release.name))
        })
      )
    )
  return {
    unpack: (release, archive) =>
      Effect.gen(function* () {
        const staging = `${at(release)}.new`
        yield* Effect.promise(async () => {
          await rm(staging, { recursive: true, force: true })
          await mkdir(staging, { recursive: true })
        })
        // tar refuses absolute names and `..` by itself; owners and modes of the archive are not taken over.
        yield* exec("tar", ["--extract", "--gzip", "--no-same-owner", "--file", archive, "--directory", staging])
        yield* Effect.promise(async () => {
          await rm(at(release), { recursive: true, force: true })
          await rename(staging, at(release))
        })
      }),
    filesOf,
    render: (release, stages) =>
      Effect.gen(function* () {
        const files = yield* filesOf(release)
        for (const stage of stages) {
          for (const { phaseId, predeploy, postdeploy } of phaseConfigs(stage)) {
            const phase = files.phase({ profiles: profilesOf(stage, phaseId) }, stage.targetId)
            yield* phase.manifests
            for (const action of [...(predeploy?.actions ?? []), ...(postdeploy?.actions ?? [])]) {
              yield* phase.action(action)
            }
          }
        }
      })
  }
}
