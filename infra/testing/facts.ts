/** Everything that names things, gathered for comparison: manifests as rendered, delivery files, and what Pulumi would create. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { delimiter, join, resolve } from "node:path"
import { Effect } from "effect"
import { parse, parseAllDocuments } from "yaml"
import { type KubeObject, type Workload, workloads } from "../../src/gates/manifests/Workload.ts"
import { type Delivery, readDelivery } from "../../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { type Environment, environments } from "../names.ts"
import { type Captured, capture } from "./capture.ts"

export const root = resolve(import.meta.dirname, "../..")

export interface Facts {
  readonly delivery: Pick<Delivery, "pipelines" | "targets" | "automations" | "skaffold">
  /** Overlay folder to its objects. */
  readonly overlays: Readonly<Record<string, ReadonlyArray<KubeObject>>>
  /** Job templates of hooks and verify. */
  readonly jobs: Readonly<Record<string, KubeObject>>
  readonly platform: ReadonlyArray<KubeObject>
  readonly captured: Readonly<Record<Environment, ReadonlyArray<Captured>>>
  readonly cloudbuild: string
}

const build = (path: string): ReadonlyArray<KubeObject> =>
  parseAllDocuments(
    execFileSync("kustomize", ["build", join(root, path)], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${join(root, ".tools")}${delimiter}${process.env["PATH"]}` }
    })
  ).map((document) => document.toJS() as KubeObject)

export const gather = async (): Promise<Facts> => {
  const { pipelines, targets, automations, skaffold } = await Effect.runPromise(readDelivery(root))
  const paths = skaffold.profiles.flatMap((profile) => profile.manifests.kustomize.paths)
  const files = [...skaffold.customActions, ...skaffold.verify].map(
    ({ executionMode }) => executionMode.kubernetesCluster.jobManifestPath
  )
  const captured: Partial<Record<Environment, ReadonlyArray<Captured>>> = {}
  // One after the other: the mocks are the process's own.
  for (const environment of environments) captured[environment] = await capture(environment, environment === "dev")
  return {
    delivery: { pipelines, targets, automations, skaffold },
    overlays: Object.fromEntries(paths.map((path) => [path, build(path)])),
    jobs: Object.fromEntries(files.map((file) => [file, parse(readFileSync(join(root, file), "utf8")) as KubeObject])),
    platform: build("k8s/platform"),
    captured: captured as Record<Environment, ReadonlyArray<Captured>>,
    cloudbuild: readFileSync(join(root, "cloudbuild.yaml"), "utf8")
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
