/** Everything that names things, gathered for comparison: manifests as rendered, delivery files, and what Pulumi would create. */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { delimiter, join, resolve } from "node:path"
import { Effect } from "effect"
import { parse, parseAllDocuments } from "yaml"
import { type KubeObject, type Workload, workloads } from "../../src/gates/manifests/Workload.ts"
import { type Delivery, readDelivery } from "../../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { type Captured, type CapturedStack, captureAll } from "./capture.ts"

export const root = resolve(import.meta.dirname, "../..")

export interface Manifests {
  readonly delivery: Pick<Delivery, "pipelines" | "targets" | "automations" | "skaffold">
  /** Overlay folder to its objects. */
  readonly overlays: Readonly<Record<string, ReadonlyArray<KubeObject>>>
  /** Job templates of hooks and verify. */
  readonly jobs: Readonly<Record<string, KubeObject>>
  readonly platform: ReadonlyArray<KubeObject>
}

export interface Facts extends Manifests {
  /** Environment, or `shared`, to the resources of all its stacks. */
  readonly captured: Readonly<Record<string, ReadonlyArray<Captured>>>
  readonly stacks: ReadonlyArray<CapturedStack>
  /** `cloudbuild.yaml` and the others, by name. */
  readonly cloudbuild: Readonly<Record<string, string>>
}

const build = (path: string): ReadonlyArray<KubeObject> =>
  parseAllDocuments(
    execFileSync("kustomize", ["build", join(root, path)], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${join(root, ".tools")}${delimiter}${process.env["PATH"]}` }
    })
  ).map((document) => document.toJS() as KubeObject)

/** Rendered as a release would be. */
export const manifests = async (): Promise<Manifests> => {
  const { pipelines, targets, automations, skaffold } = await Effect.runPromise(readDelivery(root))
  const paths = skaffold.profiles.flatMap((profile) => profile.manifests.kustomize.paths)
  const files = [...skaffold.customActions, ...skaffold.verify].map(
    ({ executionMode }) => executionMode.kubernetesCluster.jobManifestPath
  )
  return {
    delivery: { pipelines, targets, automations, skaffold },
    overlays: Object.fromEntries(paths.map((path) => [path, build(path)])),
    jobs: Object.fromEntries(files.map((file) => [file, parse(readFileSync(join(root, file), "utf8")) as KubeObject])),
    platform: build("k8s/platform")
  }
}

export const gather = async (): Promise<Facts> => {
  const stacks = await captureAll()
  const captured: Record<string, ReadonlyArray<Captured>> = {}
  for (const { stack, resources } of stacks) captured[stack] = [...(captured[stack] ?? []), ...resources]
  return {
    ...(await manifests()),
    captured,
    stacks,
    cloudbuild: Object.fromEntries(
      readdirSync(root)
        .filter((file) => /^cloudbuild(\.\w+)?\.yaml$/.test(file))
        .map((file) => [file, readFileSync(join(root, file), "utf8")])
    )
  }
}

/** Every pod template there is, with the place to name when it is wrong. */
export const pods = (facts: Facts): ReadonlyArray<{ readonly where: string; readonly workload: Workload }> => [
  ...Object.entries(facts.overlays).flatMap(([where, objects]) =>
    workloads(objects).map((workload) => ({ where, workload }))
  ),
  ...Object.entries(facts.jobs).flatMap(([where, object]) =>
    workloads([object]).map((workload) => ({ where, workload }))
  )
]
