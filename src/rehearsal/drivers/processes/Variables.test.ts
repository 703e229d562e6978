import { expect, it } from "@effect/vitest"
import { Either } from "effect"
import { imageMappings, mapArgument, mapPath } from "./ContainerPaths.ts"
import { makeContainers, type PodRecord } from "./PodRecord.ts"
import type { Container, PodTemplate } from "./PodSpec.ts"
import { revisionOf } from "./Revision.ts"
import * as Store from "./Store.ts"
import { environmentOf, expand } from "./Variables.ts"

const template: PodTemplate = { spec: { containers: [{ name: "app", image: "app" }] } }

const pod: PodRecord = {
  name: "runtime-0",
  uid: "uid",
  owner: "StatefulSet/runtime",
  revision: "a",
  template,
  labels: { app: "runtime" },
  annotations: {},
  serviceAccount: "agent-runtime",
  subdomain: "runners",
  address: "127.1.2.60",
  createdAt: new Date(0),
  containers: makeContainers(template),
  phase: "Running",
  ready: true,
  readySince: 0,
  terminating: false,
  waiting: undefined
}

const store = Store.make()
const metadata = { name: "settings" }
store.put({
  object: { apiVersion: "v1", kind: "ConfigMap", metadata, data: { LEVEL: "debug", PORT: "1" } },
  raw: { apiVersion: "v1", kind: "ConfigMap", metadata }
})
store.put({
  object: { apiVersion: "v1", kind: "Secret", metadata, data: { password: "b2xk" }, stringData: { password: "new" } },
  raw: { apiVersion: "v1", kind: "Secret", metadata }
})

const environment = (container: Partial<Container>, extra = {}) =>
  environmentOf({ name: "app", image: "app", ...container }, pod, "agents", store, extra)

it("expands what stands before, leaves what is unknown and undoubles dollars", () => {
  expect(expand("$(A)/$(B)/$$(A)/$C", { A: "1" })).toBe("1/$(B)/$(A)/$C")
})

it("makes the environment in the kubelet's order", () => {
  const result = environment(
    {
      envFrom: [{ configMapRef: { name: "settings" } }, { prefix: "S_", secretRef: { name: "settings" } }],
      env: [
        { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "APP", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: "HOST", value: "$(POD_NAME).runners:$(PORT)" },
        { name: "LEVEL", value: "info" },
        { name: "LATER", value: "$(AFTER)" },
        { name: "AFTER", value: "x" },
        { name: "MAYBE", valueFrom: { secretKeyRef: { name: "none", key: "k", optional: true } } }
      ]
    },
    { LEVEL: "from the rollout" }
  )
  expect(Either.getOrThrow(result)).toEqual({
    LEVEL: "from the rollout",
    PORT: "1",
    S_password: "new",
    POD_NAME: "runtime-0",
    APP: "runtime",
    HOST: "runtime-0.runners:1",
    LATER: "$(AFTER)",
    AFTER: "x"
  })
})

it.each([
  [{ envFrom: [{ secretRef: { name: "none" } }] }, 'Secret "none" not found'],
  [{ env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "none" } } }] }, 'no key "none"']
])("says what is missing: %o", (container, words) => {
  const result = environment(container)
  expect(Either.isLeft(result) && result.left).toContain(words)
})

it("maps a path by its deepest folder and whole words only", () => {
  const mappings = [
    { from: "/app", to: "/images/1/app" },
    { from: "/app/data", to: "/volumes/data" }
  ]
  expect(mapPath("/app/runner.js", mappings)).toBe("/images/1/app/runner.js")
  expect(mapPath("/app/data/x", mappings)).toBe("/volumes/data/x")
  expect(mapPath("/application", mappings)).toBe("/application")
  expect(mapArgument("--out=/app/data", mappings)).toBe("--out=/volumes/data")
  expect(mapArgument("--url=http://x/app", mappings)).toBe("--url=http://x/app")
  expect(imageMappings(import.meta.dirname).every(({ from, to }) => to.endsWith(from))).toBe(true)
})

it("gives the same template the same revision, whatever the order of its keys", () => {
  expect(revisionOf({ a: 1, b: { c: [1], d: null } })).toBe(revisionOf({ b: { c: [1] }, a: 1 }))
  expect(revisionOf({ a: 1 })).not.toBe(revisionOf({ a: 2 }))
})
