import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import {
  container,
  deployment,
  headless,
  job,
  service,
  statefulSet,
  type WorkloadInput
} from "../../../../test/support/processes.ts"
import type { KubeObject } from "../Driver.ts"
import { type AdmissionContext, admit } from "./Admission.ts"
import { entries } from "./WithoutEffect.ts"

const context: AdmissionContext = {
  namespace: "agents",
  executables: new Set(["/nodejs/bin/node", "k6"]),
  lowestPort: 1024,
  previous: () => undefined
}

const refused = (object: KubeObject, more: Partial<AdmissionContext> = {}) => {
  const result = admit([headless, object], { ...context, ...more })
  if (Either.isRight(result)) throw new Error("was admitted")
  return result.left
}

const object = (apiVersion: string, kind: string, more: object = {}): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name: "it", namespace: "agents" },
  ...more
})

const set = (input: WorkloadInput) => statefulSet(input)
const withContainer = (more: object) => set({ pod: { containers: [container({}, more)] } })
const pod = "spec.template.spec"
const first = `${pod}.containers[0]`

const cases: ReadonlyArray<readonly [what: string, object: KubeObject, field: string, words: string]> = [
  [
    "a partition that equals the replicas",
    statefulSet({ partition: 3 }),
    "spec.updateStrategy.rollingUpdate.partition",
    "update nothing and report success"
  ],
  ["OnDelete", set({ spec: { updateStrategy: { type: "OnDelete" } } }), "spec.updateStrategy.type", "reports success"],
  ["an unknown field of a pod", set({ pod: { hostAliases: [] } }), `${pod}.hostAliases`, "does not honour"],
  ["the host's network", set({ pod: { hostNetwork: true } }), `${pod}.hostNetwork`, "false"],
  [
    "an unknown field of a container",
    withContainer({ volumeDevices: [] }),
    `${first}.volumeDevices`,
    "does not honour"
  ],
  ["a misspelt field", withContainer({ readynessProbe: {} }), `${first}.readynessProbe`, "does not honour"],
  [
    "a probe of an unknown kind",
    withContainer({ livenessProbe: { grpc: { port: 1 } } }),
    `${first}.livenessProbe.grpc`,
    "does not honour"
  ],
  [
    "a probe of a port that has no such name",
    withContainer({ livenessProbe: { tcpSocket: { port: "grpc" } } }),
    `${first}.livenessProbe`,
    'no port named "grpc"'
  ],
  ["a container without a command", withContainer({ command: undefined }), `${first}.command`, "ENTRYPOINT"],
  ["a command that nobody knows", withContainer({ command: ["psql"] }), `${first}.command[0]`, "psql"],
  [
    "a field of the API that pods can't have here",
    withContainer({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.hostname" } } }] }),
    `${first}.env[0].valueFrom.fieldRef.fieldPath`,
    "metadata.name"
  ],
  [
    "a number as an environment value",
    withContainer({ env: [{ name: "A", value: 5 }] }),
    `${first}.env[0].value`,
    "string"
  ],
  [
    "a mount without its volume",
    withContainer({ volumeMounts: [{ name: "x", mountPath: "/x" }] }),
    `${first}.volumeMounts[0].name`,
    '"x"'
  ],
  [
    "a volume of a kind that is not there",
    set({ pod: { volumes: [{ name: "x", hostPath: { path: "/" } }] } }),
    `${pod}.volumes[0].hostPath`,
    "does not honour"
  ],
  ["claims of volumes", set({ spec: { volumeClaimTemplates: [] } }), "spec.volumeClaimTemplates", "does not honour"],
  [
    "labels that the selector does not find",
    set({ spec: { selector: { matchLabels: { app: "other" } } } }),
    "spec.selector.matchLabels",
    "app=other"
  ],
  [
    "a rolling update that can't move",
    deployment({ spec: { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } } }),
    "spec.strategy.rollingUpdate",
    "can't both be 0"
  ],
  [
    "a Service that asks for root",
    { ...service, spec: { selector: { app: "x" }, ports: [{ port: 80 }] } },
    "spec.ports[0].port",
    "8080"
  ],
  [
    "a Service of another type",
    { ...service, spec: { type: "LoadBalancer", selector: { app: "x" }, ports: [{ port: 8080 }] } },
    "spec.type",
    "ClusterIP"
  ],
  [
    "another namespace",
    { ...service, metadata: { name: "gateway", namespace: "other" } },
    "metadata.namespace",
    '"agents"'
  ],
  ["a kind that it does not know", object("gateway.networking.k8s.io/v1", "HTTPRoute"), "kind", "HTTPRoute"],
  ["a Job among the manifests", job(["0"]), "kind", "customAction"],
  [
    "rights from outside the namespace",
    object("rbac.authorization.k8s.io/v1", "RoleBinding", {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "admin" }
    }),
    "roleRef.kind",
    "Role"
  ],
  ["more pods than there are addresses", statefulSet({ replicas: 200 }), "spec.replicas", "at most 90"],
  [
    "an end for a pod that is kept running",
    set({ pod: { activeDeadlineSeconds: 5 } }),
    `${pod}.activeDeadlineSeconds`,
    "Only a Job"
  ],
  [
    "a hook of an init container that ends",
    set({
      pod: { initContainers: [container({}, { name: "init", lifecycle: { preStop: { sleep: { seconds: 1 } } } })] }
    }),
    `${pod}.initContainers[0].startupProbe`,
    "API server's rule"
  ],
  [
    "a liveness probe that asks for two successes",
    withContainer({ livenessProbe: { tcpSocket: { port: 8080 }, successThreshold: 2 } }),
    `${first}.livenessProbe.successThreshold`,
    "Only a readiness probe"
  ]
]

describe("admission", () => {
  it.each(cases)("refuses %s", (_what, given, field, words) => {
    const refusal = refused(given)
    expect(refusal.object).toBe(`${given.kind}/${given.metadata.name}`)
    expect(refusal.field).toBe(field)
    expect(refusal.message).toContain(words)
    expect(refusal.message).toContain("Nothing was applied")
  })

  it("names every problem of the set, not only the first", () => {
    const result = admit([statefulSet({ partition: 3 }), deployment({ container: { command: undefined } })], context)
    expect(Either.isLeft(result) && result.left.message).toMatch(/partition[\s\S]*also Deployment\/gateway/)
  })

  it("refuses to change what the API server holds fixed", () => {
    const before = statefulSet()
    const refusal = refused(statefulSet({ spec: { podManagementPolicy: "OrderedReady" } }), { previous: () => before })
    expect(refusal.field).toBe("spec.podManagementPolicy")
    expect(refusal.message).toContain("Forbidden")
  })

  it("admits what has no effect here, and has a reason for each", () => {
    const resources = { requests: { cpu: "50m" }, limits: { memory: "1Gi" } }
    const given = set({
      container: { resources, securityContext: { readOnlyRootFilesystem: true }, imagePullPolicy: "IfNotPresent" },
      pod: {
        containers: [container({}, { resources })],
        affinity: {},
        tolerations: [{ operator: "Exists" }],
        topologySpreadConstraints: [],
        priorityClassName: "high",
        securityContext: { runAsNonRoot: true }
      }
    })
    const budget = object("policy/v1", "PodDisruptionBudget", { spec: { minAvailable: 2 } })
    expect(Either.isRight(admit([given, budget, deployment(), service], context))).toBe(true)
    expect(entries.length).toBeGreaterThan(20)
    expect(entries.filter(({ reason }) => reason.length < 15)).toEqual([])
  })

  it("treats null as absent, as the API server does", () => {
    const given = set({ pod: { containers: [container({}, { lifecycle: null })], volumes: null } })
    expect(Either.isRight(admit([given], context))).toBe(true)
  })
})
