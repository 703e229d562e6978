/** Small workloads that any image with Node can run: the program is in the manifest, so no image has to be made for tests. */
import type { KubeObject } from "../../src/rehearsal/drivers/Driver.ts"

/** Answers its version on 8080. READY=no: never ready. FAIL=1: ends at once. */
const SERVER = `
const { VERSION, READY, FAIL } = process.env
console.log("starting " + VERSION)
if (FAIL) { console.error("no database at 10.0.0.1"); process.exit(3) }
const server = require("node:http").createServer((request, response) => {
  response.statusCode = request.url === "/readyz" && READY === "no" ? 503 : 200
  response.end(VERSION)
})
server.listen(8080)
process.on("SIGTERM", () => { server.close(() => process.exit(0)); server.closeIdleConnections() })
`

const JOB = `
console.log("hook of " + process.env.CLOUD_DEPLOY_TARGET)
const [what] = process.argv.slice(1)
if (what === "hang") setInterval(() => {}, 1000)
else process.exit(Number(what))
`

export const PIPELINE = "deploy.cloud.google.com/delivery-pipeline-id"
export const labelled = (object: KubeObject, pipeline = "agents", release = "r-1"): KubeObject => ({
  ...object,
  metadata: {
    ...object.metadata,
    labels: {
      ...object.metadata.labels,
      [PIPELINE]: pipeline,
      "deploy.cloud.google.com/target-id": "test",
      "deploy.cloud.google.com/release-id": release
    }
  }
})

export interface Input {
  readonly version?: string
  readonly env?: Readonly<Record<string, string>>
  readonly replicas?: number
  readonly partition?: number
  readonly image?: string
  readonly spec?: object
  readonly container?: object
}

const security = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  runAsUser: 65532,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" }
}

const namespace = "agents"

export const make = (image: string) => {
  const template = (name: string, input: Input) => ({
    metadata: { labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 5,
      containers: [
        {
          name: "app",
          image: input.image ?? image,
          command: ["/nodejs/bin/node", "-e", SERVER],
          env: Object.entries({ VERSION: input.version ?? "v1", ...input.env }).map(([key, value]) => ({
            name: key,
            value
          })),
          ports: [{ name: "http", containerPort: 8080 }],
          startupProbe: { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 1, failureThreshold: 60 },
          readinessProbe: { httpGet: { path: "/readyz", port: "http" }, periodSeconds: 1, failureThreshold: 1 },
          // Endpoints learn of a pod's end some time after the pod does; nothing may fail in between.
          lifecycle: { preStop: { sleep: { seconds: 2 } } },
          securityContext: security,
          ...input.container
        }
      ]
    }
  })
  return {
    statefulSet: (input: Input = {}): KubeObject => ({
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "runtime", namespace },
      spec: {
        serviceName: "runners",
        replicas: input.replicas ?? 3,
        podManagementPolicy: "Parallel",
        selector: { matchLabels: { app: "runtime" } },
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: input.partition ?? 0 } },
        template: template("runtime", input),
        ...input.spec
      }
    }),
    deployment: (input: Input = {}): KubeObject => ({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "gateway", namespace },
      spec: {
        replicas: input.replicas ?? 2,
        selector: { matchLabels: { app: "gateway" } },
        strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: template("gateway", input),
        ...input.spec
      }
    }),
    job: (what: string, input: Input = {}): KubeObject => ({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "hook", namespace },
      spec: {
        backoffLimit: 0,
        template: {
          spec: {
            restartPolicy: "Never",
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: "hook",
                image: input.image ?? image,
                command: ["/nodejs/bin/node", "-e", JOB, what],
                securityContext: security
              }
            ]
          }
        },
        ...input.spec
      }
    })
  }
}

export const headless: KubeObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "runners", namespace },
  spec: {
    clusterIP: "None",
    publishNotReadyAddresses: true,
    selector: { app: "runtime" },
    ports: [{ name: "http", port: 8080 }]
  }
}

export const service: KubeObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "gateway", namespace },
  spec: { selector: { app: "gateway" }, ports: [{ name: "http", port: 8080, targetPort: "http" }] }
}

export const disruption = (app: string): KubeObject => ({
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
  metadata: { name: app, namespace },
  spec: { maxUnavailable: 1, selector: { matchLabels: { app } } }
})

export const config = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace },
  data: { LEVEL: name }
})
