/**
 * What a release no longer has, and may go. Pure.
 *
 * `kubectl apply` leaves behind what left the manifests, and Cloud Deploy says no more: hashed ConfigMaps pile up, and a
 * Service that was renamed keeps answering under its old name. By labels, not by a list of our own, so that it also finds what a
 * rollout that failed has left.
 */
import type { KubeObject } from "./Driver.ts"
import type { Json, Meta } from "./kubernetes/Json.ts"

const LABELS = {
  pipeline: "deploy.cloud.google.com/delivery-pipeline-id",
  target: "deploy.cloud.google.com/target-id",
  release: "deploy.cloud.google.com/release-id"
} as const

/** Never data, identities or rights: a release does not make those, so it can't have removed them. */
export const PRUNABLE: ReadonlyArray<readonly [apiVersion: string, kind: string]> = [
  ["v1", "ConfigMap"],
  ["v1", "Service"],
  ["apps/v1", "Deployment"],
  ["apps/v1", "StatefulSet"],
  ["batch/v1", "CronJob"],
  ["policy/v1", "PodDisruptionBudget"],
  ["autoscaling/v2", "HorizontalPodAutoscaler"],
  ["networking.k8s.io/v1", "NetworkPolicy"]
]

export interface Found {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Omit<Meta, "uid"> & { readonly uid?: string }
  readonly spec?: Json
}

export interface Owner {
  readonly pipeline: string
  readonly target: string
}

/** Which objects of a cluster belong to this pipeline and target, by the labels that rendering gave the set. */
export const ownerOf = (objects: ReadonlyArray<KubeObject>): Owner | undefined => {
  for (const { metadata } of objects) {
    const pipeline = metadata.labels?.[LABELS.pipeline]
    const target = metadata.labels?.[LABELS.target]
    if (pipeline !== undefined && target !== undefined) return { pipeline, target }
  }
  return undefined
}

export const selectorOf = ({ pipeline, target }: Owner): string =>
  `${LABELS.pipeline}=${pipeline},${LABELS.target}=${target},${LABELS.release}`

/** Names of the ConfigMaps that these pod specs mount or read. Any string under the known keys counts: too many is harmless. */
const configMapsIn = (value: unknown, into: Set<string>): void => {
  if (Array.isArray(value)) {
    for (const entry of value) configMapsIn(entry, into)
    return
  }
  if (typeof value !== "object" || value === null) return
  for (const [key, entry] of Object.entries(value)) {
    const name = (entry as { readonly name?: unknown } | null)?.name
    if ((key === "configMap" || key === "configMapRef" || key === "configMapKeyRef") && typeof name === "string") {
      into.add(name)
    }
    configMapsIn(entry, into)
  }
}

export interface PruneInput {
  /** The release's whole set. */
  readonly wanted: ReadonlyArray<KubeObject>
  /** What carries the labels of this pipeline and target. */
  readonly found: ReadonlyArray<Found>
  readonly manager: string
  /** Pods, and revisions of StatefulSets that pods may be made of again: at a partition the old release still runs. */
  readonly inUse: ReadonlyArray<unknown>
}

export interface PrunePlan {
  readonly remove: ReadonlyArray<Found>
  readonly keep: ReadonlyArray<{ readonly object: string; readonly reason: string }>
}

const keyOf = (object: { readonly kind: string; readonly metadata: { readonly name: string } }) =>
  `${object.kind}/${object.metadata.name}`

export const planPrune = ({ wanted, found, manager, inUse }: PruneInput): PrunePlan => {
  const wantedKeys = new Set(wanted.map(keyOf))
  const mounted = new Set<string>()
  for (const value of inUse) configMapsIn(value, mounted)
  const remove: Array<Found> = []
  const keep: Array<PrunePlan["keep"][number]> = []
  for (const one of found) {
    if (wantedKeys.has(keyOf(one)) || one.metadata.deletionTimestamp !== undefined) continue
    const reason = !PRUNABLE.some(([, kind]) => kind === one.kind)
      ? "objects of this kind are never pruned"
      : !(one.metadata.managedFields ?? []).some((entry) => entry.manager === manager && entry.operation === "Apply")
        ? "it was not applied by this driver"
        : one.kind === "ConfigMap" && mounted.has(one.metadata.name)
          ? "pods that still run read it"
          : one.kind === "StatefulSet" && deletesClaims(one)
            ? "removing it would delete its volume claims (persistentVolumeClaimRetentionPolicy.whenDeleted: Delete)"
            : undefined
    if (reason === undefined) remove.push(one)
    else keep.push({ object: keyOf(one), reason })
  }
  return { remove, keep }
}

const deletesClaims = (set: Found): boolean =>
  (set.spec?.["persistentVolumeClaimRetentionPolicy"] as { readonly whenDeleted?: string } | undefined)?.whenDeleted ===
  "Delete"
