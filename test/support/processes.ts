/** A cluster of processes for tests: small Node servers in image folders, and the manifests that run them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Schedule } from "effect"
import type { KubeObject } from "../../src/rehearsal/drivers/Driver.ts"
import {
  ImageNotFound,
  make,
  type PodEvent,
  type ProcessDriverOptions
} from "../../src/rehearsal/drivers/processes/ProcessDriver.ts"

/** Answers on 8080; what it does wrong is said by its environment. */
const SERVER = `
import { createServer } from "node:http"
import { existsSync, readFileSync } from "node:fs"
import { lookup } from "node:dns/promises"
import { spawn } from "node:child_process"
const { VERSION = "v1", FAIL = "", READY = "yes" } = process.env
console.log("starting " + VERSION + " in " + process.env.POD_NAME)
if (FAIL === "start") { console.error("no database at 10.0.0.1"); process.exit(3) }
if (process.env.STRAY) {
  // A process in a group of its own: killing the container's group does not reach it.
  const stray = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: "ignore" })
  console.log("stray " + stray.pid)
}
let ready = READY === "yes"
const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://pod")
  const answer = (status, body) => { response.writeHead(status); response.end(typeof body === "string" ? body : JSON.stringify(body)) }
  try {
    switch (url.pathname) {
      case "/healthz": return answer(200, "ok")
      case "/readyz": return answer(ready && !existsSync(process.env.HOME + "/unready") ? 200 : 503, "")
      case "/env": return answer(200, process.env)
      case "/file": return answer(200, readFileSync(url.searchParams.get("path"), "utf8"))
      case "/lookup": return answer(200, await lookup(url.searchParams.get("name"), { all: true }))
      case "/fetch": {
        const headers = JSON.parse(url.searchParams.get("headers") ?? "{}")
        const result = await fetch(url.searchParams.get("url"), { headers, method: url.searchParams.get("method") ?? "GET" })
        return answer(result.status, await result.text())
      }
      default: {
        // A request in flight when SIGTERM comes must still be answered.
        await new Promise((resolve) => setTimeout(resolve, 20))
        return answer(200, { version: VERSION, pod: process.env.POD_NAME, pid: process.pid })
      }
    }
  } catch (error) { answer(500, String(error.code ?? error)) }
})
server.listen(8080)
process.on("SIGTERM", () => {
  if (process.env.STUBBORN) return console.log("ignoring SIGTERM")
  console.log("stopping")
  server.close(() => process.exit(0))
})
`

const JOB = `
console.log("target " + process.env.CLOUD_DEPLOY_TARGET)
if (process.argv[2] === "hang") setInterval(() => {}, 1000)
else process.exit(Number(process.argv[2]))
`

/** A driver over two images, `app:good` (any tag but `missing`), state in a fresh folder. */
export const testDriver = (options: Partial<ProcessDriverOptions> = {}) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "process-driver-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const root = writeImage(folder)
    const events: Array<PodEvent> = []
    const driver = yield* make({
      stateFolder: join(folder, "state"),
      executables: { "/nodejs/bin/node": process.execPath },
      image: (image) =>
        image.endsWith("missing")
          ? Effect.fail(new ImageNotFound({ image, message: `no folder holds ${image}` }))
          : Effect.succeed({ root }),
      onEvent: (event) => events.push(event),
      ...options
    })
    return { driver, folder, events }
  })

export const writeImage = (folder: string): string => {
  const root = join(folder, "image")
  mkdirSync(join(root, "app"), { recursive: true })
  writeFileSync(join(root, "app", "server.mjs"), SERVER)
  writeFileSync(join(root, "app", "job.mjs"), JOB)
  return root
}

/** Real time: looks every 20 ms until the condition holds. */
export const eventually = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  holds: (value: A) => boolean,
  what: string,
  withinMs = 45_000
) =>
  effect.pipe(
    Effect.filterOrFail(holds, () => new Error("not yet")),
    Effect.retry(Schedule.spaced(20)),
    Effect.timeoutFail({ duration: withinMs, onTimeout: () => new Error(`never came true: ${what}`) })
  )

type Env = Readonly<Record<string, string>>

const environment = (env: Env) => [
  { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
  { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
  ...Object.entries(env).map(([name, value]) => ({ name, value }))
]

export const container = (env: Env = {}, more: object = {}) => ({
  name: "app",
  image: "app:good",
  command: ["/nodejs/bin/node", "/app/server.mjs"],
  env: environment(env),
  ports: [{ name: "http", containerPort: 8080 }],
  startupProbe: { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 2, failureThreshold: 30 },
  readinessProbe: { httpGet: { path: "/readyz", port: "http" }, periodSeconds: 1, failureThreshold: 1 },
  ...more
})

const meta = (name: string) => ({ name, namespace: "agents" })

export interface WorkloadInput {
  readonly env?: Env
  readonly container?: object
  readonly pod?: object
  readonly spec?: object
}

const template = (name: string, input: WorkloadInput) => ({
  metadata: { labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 5, containers: [container(input.env, input.container)], ...input.pod }
})

export const statefulSet = (
  input: WorkloadInput & { readonly partition?: number; readonly replicas?: number } = {}
): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: meta("runtime"),
  spec: {
    serviceName: "runners",
    replicas: input.replicas ?? 3,
    podManagementPolicy: "Parallel",
    selector: { matchLabels: { app: "runtime" } },
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: input.partition ?? 0 } },
    template: template("runtime", input),
    ...input.spec
  }
})

export const deployment = (input: WorkloadInput & { readonly replicas?: number } = {}): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: meta("gateway"),
  spec: {
    replicas: input.replicas ?? 2,
    selector: { matchLabels: { app: "gateway" } },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: template("gateway", input),
    ...input.spec
  }
})

export const job = (args: ReadonlyArray<string>, input: WorkloadInput = {}): KubeObject => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: meta("hook"),
  spec: {
    backoffLimit: 0,
    template: {
      spec: {
        restartPolicy: "Never",
        terminationGracePeriodSeconds: 0,
        containers: [
          { name: "hook", image: "app:good", command: ["/nodejs/bin/node", "/app/job.mjs"], args, ...input.container }
        ],
        ...input.pod
      }
    },
    ...input.spec
  }
})

export const headless: KubeObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: meta("runners"),
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
  metadata: meta("gateway"),
  spec: { selector: { app: "gateway" }, ports: [{ name: "http", port: 8080, targetPort: "http" }] }
}

export const secret = (stringData: Env): KubeObject => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: meta("database"),
  stringData
})
