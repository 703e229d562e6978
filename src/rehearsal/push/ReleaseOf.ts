/** Makes a release of a pushed commit through the server's own API, as `gcloud deploy releases create` would. */
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import type { ServerAddress } from "../api/Serve.ts"
import { written } from "../clouddeploy/ApiForm.ts"
import { readDeliveryConfig } from "../clouddeploy/DeliveryConfig.ts"
import { ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"
import { ask, must, PARENT } from "./Api.ts"

/**
 * The first push brings all of `clouddeploy/` along. What is there already is left as it is, then and later: changing it is
 * `gcloud deploy apply`, a decision of its own.
 */
const applyOnce = (server: ServerAddress, source: string, pipeline: string, say: (line: string) => void) =>
  Effect.gen(function* () {
    const found = yield* ask(server, "GET", `v1/${PARENT}/deliveryPipelines/${pipeline}`)
    if (found.status !== 404) return yield* must(Effect.succeed(found))
    const config = yield* Effect.mapError(
      readDeliveryConfig(join(source, "clouddeploy")),
      ({ message }) => new ToolFailed({ message })
    )
    for (const { kind, name, path, body } of written(config)) {
      const at = `v1/${PARENT}/${path}`
      const there = yield* ask(server, "GET", at)
      if (there.status === 404) yield* must(ask(server, "PATCH", `${at}?allowMissing=true&updateMask=*`, body))
      else yield* must(Effect.succeed(there))
      say(`${there.status === 404 ? "applied" : "is there already:"} ${kind} ${name}`)
    }
    return yield* must(ask(server, "GET", `v1/${PARENT}/deliveryPipelines/${pipeline}`))
  })

interface Stages {
  readonly serialPipeline?: { readonly stages?: ReadonlyArray<{ readonly targetId: string }> }
}

interface Numbered {
  readonly rollouts?: ReadonlyArray<{ readonly targetId: string }>
}

/**
 * Uploads the commit's delivery files, makes the release and its first rollout. A commit that was refused may be pushed again: its
 * release is there, and gets one more rollout. Gives the rollout's name.
 */
export const create = (options: {
  readonly server: ServerAddress
  readonly pipeline: string
  readonly name: string
  readonly commit: string
  readonly images: Readonly<Record<string, string>>
  /** The folder with `skaffold.yaml`, `clouddeploy/` and `k8s/`. */
  readonly source: string
  readonly archive: string
  readonly say: (line: string) => void
}): Effect.Effect<string, ToolFailed> =>
  Effect.gen(function* () {
    const { server, pipeline, name, source } = options
    const found = (yield* applyOnce(server, source, pipeline, options.say)) as Stages
    const first = found.serialPipeline?.stages?.[0]?.targetId
    if (first === undefined) return yield* new ToolFailed({ message: `Delivery pipeline "${pipeline}" has no stage.` })
    const release = `${PARENT}/deliveryPipelines/${pipeline}/releases`
    const there = yield* ask(server, "GET", `v1/${release}/${name}`)
    if (there.status !== 200) {
      const files = ["skaffold.yaml", "clouddeploy", "k8s"].filter((file) => existsSync(join(source, file)))
      yield* exec("tar", ["--create", "--gzip", "--file", options.archive, "--directory", source, ...files])
      const archive = yield* Effect.promise(() => readFile(options.archive))
      yield* must(ask(server, "POST", `upload/storage/v1/b/pushed/o?uploadType=media&name=${name}.tgz`, archive))
      yield* must(
        ask(server, "POST", `v1/${release}?releaseId=${name}`, {
          skaffoldConfigUri: `gs://pushed/${name}.tgz`,
          buildArtifacts: Object.entries(options.images).map(([image, tag]) => ({ image, tag })),
          annotations: { commit: options.commit }
        })
      )
    }
    const { rollouts = [] } = (yield* must(
      ask(server, "GET", `v1/${release}/${name}/rollouts?pageSize=1000`)
    )) as Numbered
    const number = 1 + rollouts.filter(({ targetId }) => targetId === first).length
    const rollout = `${name}-to-${first}-${String(number).padStart(4, "0")}`
    yield* must(ask(server, "POST", `v1/${release}/${name}/rollouts?rolloutId=${rollout}`, { targetId: first }))
    return `${release}/${name}/rollouts/${rollout}`
  })
