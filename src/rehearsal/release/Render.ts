/**
 * What `skaffold render` and `skaffold apply` do to the manifests of a release, on a laptop.
 *
 * The real kustomize builds the overlay; images that are named as an artifact get the release's digest; Cloud Deploy's
 * labels go where `resourceSelector.allow` lets them. Without such a rule they would land in the pod template too, and every
 * apply would restart every pod (Skaffold adds a fresh `run-id` to it: skaffold#2745).
 */
import { join } from "node:path"
import { Effect } from "effect"
import { parseAllDocuments } from "yaml"
import type { KubeObject } from "../drivers/Driver.ts"
import { ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"
import type { Release } from "./Release.ts"

/** One rule of Skaffold's `resourceSelector.allow`. */
export interface LabelRule {
  /** `StatefulSet.apps`. */
  readonly groupKind: string
  readonly labels?: ReadonlyArray<string> | undefined
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Replaces every `image:` that is an artifact's bare name, as Skaffold does: exact matches only. */
export const substituteImages = <A>(value: A, images: Readonly<Record<string, string>>): A => {
  if (Array.isArray(value)) return value.map((item) => substituteImages(item, images)) as A
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [
      key,
      key === "image" && typeof field === "string" ? (images[field] ?? field) : substituteImages(field, images)
    ])
  ) as A
}

const withLabels = (holder: unknown, labels: Readonly<Record<string, string>>): Record<string, unknown> => {
  const metadata = isRecord(holder) ? holder : {}
  return { ...metadata, labels: { ...labels, ...(isRecord(metadata["labels"]) ? metadata["labels"] : {}) } }
}

const groupKindOf = (object: KubeObject): string => {
  const [group] = object.apiVersion.includes("/") ? object.apiVersion.split("/") : [""]
  return group === "" ? object.kind : `${object.kind}.${group}`
}

/** Adds the labels to the object, and to its pod template unless a rule names the paths that may have them. */
export const addLabels = (
  object: KubeObject,
  labels: Readonly<Record<string, string>>,
  rules: ReadonlyArray<LabelRule>
): KubeObject => {
  const rule = rules.find((candidate) => candidate.groupKind === groupKindOf(object))
  const allowed = (path: string) => rule?.labels === undefined || rule.labels.includes(path)
  let labelled: Record<string, unknown> = { ...object }
  if (allowed(".metadata.labels")) labelled["metadata"] = withLabels(object.metadata, labels)
  const spec = labelled["spec"]
  if (isRecord(spec) && isRecord(spec["template"]) && allowed(".spec.template.metadata.labels")) {
    const template = spec["template"]
    labelled = {
      ...labelled,
      spec: { ...spec, template: { ...template, metadata: withLabels(template["metadata"], labels) } }
    }
  }
  return labelled as unknown as KubeObject
}

/** All objects in a YAML text. */
export const parseObjects = (text: string, where: string): Effect.Effect<ReadonlyArray<KubeObject>, ToolFailed> =>
  Effect.gen(function* () {
    const objects: Array<KubeObject> = []
    for (const document of parseAllDocuments(text)) {
      if (document.errors.length > 0) {
        return yield* new ToolFailed({ message: `${where} is not YAML: ${document.errors[0]!.message}` })
      }
      const value: unknown = document.toJS()
      if (value === null || value === undefined) continue
      if (!isRecord(value) || typeof value["kind"] !== "string" || !isRecord(value["metadata"])) {
        return yield* new ToolFailed({
          message: `${where} holds a document that is no Kubernetes object (no kind or metadata).`
        })
      }
      objects.push(value as unknown as KubeObject)
    }
    return objects
  })

/** The objects of one Kustomize folder of the release's snapshot, as Cloud Deploy would apply them. */
export const render = (options: {
  readonly release: Release
  /** Relative to `skaffold.yaml`: `k8s/overlays/dev`. */
  readonly path: string
  readonly kustomize: string
  readonly labels: Readonly<Record<string, string>>
  readonly rules: ReadonlyArray<LabelRule>
}): Effect.Effect<ReadonlyArray<KubeObject>, ToolFailed> =>
  Effect.gen(function* () {
    const folder = join(options.release.source, options.path)
    const text = yield* exec(options.kustomize, ["build", folder])
    const objects = yield* parseObjects(text, `kustomize build ${options.path}`)
    return objects.map((object) =>
      addLabels(substituteImages(object, options.release.images), options.labels, options.rules)
    )
  })
