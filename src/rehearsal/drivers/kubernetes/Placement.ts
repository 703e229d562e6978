/**
 * Puts a target's objects into the target's namespace. Pure.
 *
 * In the cloud every target is a cluster of its own and the namespace is `agents` in each. Where one cluster stands in for several
 * targets, each is a namespace: that name changes wherever a manifest holds it, as `namespace` and in Services' DNS names.
 */
import { type KubeObject, ManifestRefused } from "../Driver.ts"

const nameOf = (object: KubeObject) => `${object.kind}/${object.metadata.name}`

const rewrite = (value: unknown, from: string, to: string): unknown => {
  if (typeof value === "string") return value.replaceAll(`.${from}.svc`, `.${to}.svc`)
  if (Array.isArray(value)) return value.map((entry) => rewrite(entry, from, to))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key,
      key === "namespace" && entry === from ? to : rewrite(entry, from, to)
    ])
  )
}

/** `stringData` can be written and never read: with server-side apply a key that left it would stay. */
const withData = (object: KubeObject): KubeObject => {
  const plain = object["stringData"] as Readonly<Record<string, string>> | undefined
  if (object.kind !== "Secret" || plain === undefined) return object
  const { stringData: _, ...rest } = object
  const encoded = Object.fromEntries(
    Object.entries(plain).map(([key, value]) => [key, Buffer.from(value).toString("base64")])
  )
  return { ...rest, data: { ...(object["data"] as object | undefined), ...encoded } } as KubeObject
}

export const place = (object: KubeObject, from: string, to: string): KubeObject => {
  const moved = rewrite(withData(object), from, to) as KubeObject
  return object.kind === "Namespace" && object.metadata.name === from
    ? { ...moved, metadata: { ...moved.metadata, name: to } }
    : moved
}

interface SetSpec {
  readonly replicas?: number
  readonly ordinals?: { readonly start?: number }
  readonly updateStrategy?: { readonly type?: string; readonly rollingUpdate?: { readonly partition?: number } }
}

/** What the API server takes and a rollout must not: Skaffold would call it done with nothing updated. */
export const refusal = (object: KubeObject): ManifestRefused | undefined => {
  if (object.kind !== "StatefulSet") return undefined
  const spec = object["spec"] as SetSpec
  if (spec.updateStrategy?.type === "OnDelete") {
    return new ManifestRefused({
      object: nameOf(object),
      field: "spec.updateStrategy.type",
      message: `${nameOf(object)}: with OnDelete nothing is updated until somebody deletes pods, yet Skaffold's status check reports success. Use RollingUpdate with a partition.`
    })
  }
  const replicas = spec.replicas ?? 1
  const end = (spec.ordinals?.start ?? 0) + replicas
  const partition = spec.updateStrategy?.rollingUpdate?.partition ?? 0
  if (replicas > 0 && partition >= end) {
    return new ManifestRefused({
      object: nameOf(object),
      field: "spec.updateStrategy.rollingUpdate.partition",
      message: `${nameOf(object)}: partition ${partition} of ${replicas} replicas would update nothing and report success (Skaffold and kubectl: "roll out complete: 0 new pods"). Use at most ${end - 1}.`
    })
  }
  return undefined
}
