import { expect, it } from "vitest"
import type { KubeObject } from "./Driver.ts"
import { type Found, planPrune } from "./Prune.ts"

const wanted: KubeObject = { apiVersion: "v1", kind: "Service", metadata: { name: "gateway" } }
const found = (kind: string, name: string, more: Partial<Found> & { readonly manager?: string } = {}): Found => ({
  apiVersion: "v1",
  kind,
  metadata: { name, managedFields: [{ manager: more.manager ?? "deliver", operation: "Apply" }] },
  ...(more.spec === undefined ? {} : { spec: more.spec })
})
const plan = (objects: ReadonlyArray<Found>, inUse: ReadonlyArray<unknown> = []) => {
  const { keep, remove } = planPrune({ wanted: [wanted], found: objects, manager: "deliver", inUse })
  return { removed: remove.map(({ metadata }) => metadata.name), kept: keep.map(({ reason }) => reason) }
}

it("removes what the release no longer has, and leaves what it has", () => {
  expect(plan([found("Service", "gateway"), found("Service", "old")])).toEqual({ removed: ["old"], kept: [] })
})

it.each(["PersistentVolumeClaim", "Secret", "Namespace", "ServiceAccount", "Role"])("never removes a %s", (kind) => {
  expect(plan([found(kind, "x")])).toEqual({ removed: [], kept: ["objects of this kind are never pruned"] })
})

it("leaves what somebody else applied under the same labels", () => {
  expect(plan([found("Service", "x", { manager: "helm" })]).kept).toEqual(["it was not applied by this driver"])
})

it.each([
  { spec: { volumes: [{ configMap: { name: "x" } }] } },
  { spec: { containers: [{ envFrom: [{ configMapRef: { name: "x" } }] }] } },
  { spec: { containers: [{ env: [{ valueFrom: { configMapKeyRef: { name: "x", key: "k" } } }] }] } },
  { data: { spec: { template: { spec: { volumes: [{ projected: { sources: [{ configMap: { name: "x" } }] } }] } } } } }
])("leaves a ConfigMap that a pod or a revision reads: %o", (user) => {
  expect(plan([found("ConfigMap", "x")], [user])).toEqual({ removed: [], kept: ["pods that still run read it"] })
  expect(plan([found("ConfigMap", "y")], [user])).toEqual({ removed: ["y"], kept: [] })
})

it("leaves a StatefulSet whose removal would take its volumes along", () => {
  const spec = { persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete" } }
  expect(plan([found("StatefulSet", "x", { spec })]).removed).toEqual([])
  expect(plan([found("StatefulSet", "x")]).removed).toEqual(["x"])
})
