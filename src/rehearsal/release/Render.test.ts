import { describe, expect, it } from "@effect/vitest"
import type { KubeObject } from "../drivers/Driver.ts"
import { hookJob } from "./HookJob.ts"
import { addLabels, substituteImages } from "./Render.ts"

const set: KubeObject = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "effect-agent-runtime", labels: { app: "effect-agent-runtime" } },
  spec: {
    template: {
      metadata: { labels: { app: "effect-agent-runtime" } },
      spec: {
        containers: [
          { name: "runner", image: "agents" },
          { name: "proxy", image: "other/agents" }
        ]
      }
    }
  }
}
const labels = { "deploy.cloud.google.com/release-id": "r-1" }

describe("rendering a release", () => {
  it("keeps Cloud Deploy's labels out of the pod template that resourceSelector.allow protects", () => {
    const protectedSet = addLabels(set, labels, [{ groupKind: "StatefulSet.apps", labels: [".metadata.labels"] }])
    expect(protectedSet.metadata.labels).toMatchObject(labels)
    expect(protectedSet["spec"]).toEqual(set["spec"])
  })

  it("puts them into the pod template without such a rule, as Skaffold does: a new revision for every release", () => {
    const plain = addLabels(set, labels, [])
    expect(JSON.stringify(plain["spec"])).toContain("deploy.cloud.google.com/release-id")
  })

  it("substitutes images only where they are an artifact's bare name", () => {
    const rendered = substituteImages(set, { agents: "agents@sha256:abc" })
    expect(JSON.stringify(rendered)).toContain('"image":"agents@sha256:abc"')
    expect(JSON.stringify(rendered)).toContain('"image":"other/agents"')
  })

  it("makes a hook's Job of the template's container with the same name, drops the others, never retries", () => {
    const base: KubeObject = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "template", namespace: "agents" },
      spec: {
        backoffLimit: 6,
        template: {
          spec: {
            serviceAccountName: "agent-migrator",
            volumes: [{ name: "database", secret: { secretName: "agent-database-migrator" } }],
            containers: [
              {
                name: "migrate",
                volumeMounts: [{ name: "database", mountPath: "/db" }],
                env: [{ name: "A", value: "1" }]
              },
              { name: "proxy", image: "dropped" }
            ]
          }
        }
      }
    }
    const job = hookJob(
      { name: "migrate", image: "agents", command: ["node"], env: [{ name: "B", value: "2" }] },
      { agents: "agents@sha256:abc" },
      base
    )
    expect(job).toEqual({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "migrate", namespace: "agents" },
      spec: {
        backoffLimit: 0,
        template: {
          spec: {
            serviceAccountName: "agent-migrator",
            restartPolicy: "Never",
            volumes: [{ name: "database", secret: { secretName: "agent-database-migrator" } }],
            containers: [
              {
                name: "migrate",
                image: "agents@sha256:abc",
                command: ["node"],
                volumeMounts: [{ name: "database", mountPath: "/db" }],
                env: [
                  { name: "A", value: "1" },
                  { name: "B", value: "2" }
                ]
              }
            ]
          }
        }
      }
    })
  })
})
