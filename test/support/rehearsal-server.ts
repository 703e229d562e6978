/**
 * A rehearsal's server of its own for a test: real host, real Postgres, real gcloud-shaped requests, and a release so small that
 * a rollout takes a second. Its hooks write what they did into one file.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync } from "node:fs"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Schedule, type Scope } from "effect"
import * as Serve from "../../src/rehearsal/api/Serve.ts"
import { exec } from "../../src/rehearsal/Exec.ts"
import type { Kill } from "./kill-switch.ts"

export const PARENT = "projects/rehearsal/locations/us-central1"
export const PIPELINE = `${PARENT}/deliveryPipelines/tiny`
export const GOOD = `tiny@sha256:${"a".repeat(64)}`
/** Its smoke run fails. */
export const BAD = `tiny@sha256:${"b".repeat(64)}`

const HOOK = `import { appendFileSync, existsSync } from "node:fs"
const [, , name] = process.argv
const place = [name, process.env.CLOUD_DEPLOY_RELEASE, process.env.CLOUD_DEPLOY_TARGET, process.env.CLOUD_DEPLOY_PHASE].join(" ")
await new Promise((resolve) => setTimeout(resolve, Number(process.env.TAKES_MS)))
appendFileSync(process.env.EFFECTS, place + "\\n")
appendFileSync(process.env.EFFECTS + ".env", JSON.stringify({ ...process.env, HOOK: name }) + "\\n")
console.log("did " + place)
if (name === "smoke" && existsSync(new URL("bad", import.meta.url))) process.exit(1)
`

const SKAFFOLD = `apiVersion: skaffold/v4beta7
kind: Config
metadata: {name: tiny}
build: {artifacts: [{image: tiny}]}
deploy: {kubectl: {}, statusCheckDeadlineSeconds: 60}
profiles:
- name: all
  manifests: {kustomize: {paths: [k8s]}}
customActions:
${["before", "after"]
  .map(
    (name) => `- name: ${name}
  timeout: 60
  executionMode: {kubernetesCluster: {jobManifestPath: ${name}.yaml}}
  containers: [{name: ${name}, image: tiny, command: [/nodejs/bin/node], args: [/app/hook.mjs, ${name}]}]`
  )
  .join("\n")}
verify:
- name: smoke
  timeout: 60
  executionMode: {kubernetesCluster: {jobManifestPath: smoke.yaml}}
  container: {name: smoke, image: tiny, command: [/nodejs/bin/node], args: [/app/hook.mjs, smoke]}
`

const job = (name: string, effects: string, takesMs: number) => `apiVersion: batch/v1
kind: Job
metadata: {name: ${name}, namespace: agents}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: ${name}, image: tiny, env: [{name: EFFECTS, value: ${effects}}, {name: TAKES_MS, value: "${takesMs}"}]}
`

const hooks = "predeploy: {actions: [before]}, verify: true, postdeploy: {actions: [after]}"

/** Pipeline and targets as people write them: `dev`, then `prod` with an approval and two phases. */
export const DELIVERY = `apiVersion: deploy.cloud.google.com/v1
kind: DeliveryPipeline
metadata: {name: tiny}
serialPipeline:
  stages:
  - {targetId: dev, profiles: [all], strategy: {standard: {${hooks}}}}
  - targetId: prod
    strategy:
      canary:
        customCanaryDeployment:
          phaseConfigs:
          - {phaseId: one, percentage: 50, profiles: [all], ${hooks}}
          - {phaseId: stable, percentage: 100, profiles: [all], ${hooks}}
---
apiVersion: deploy.cloud.google.com/v1
kind: Target
metadata: {name: dev}
gke: {cluster: projects/rehearsal/locations/us-central1/clusters/dev}
---
apiVersion: deploy.cloud.google.com/v1
kind: Target
metadata: {name: prod}
requireApproval: true
gke: {cluster: projects/rehearsal/locations/us-central1/clusters/prod}
`

export interface TestServer {
  readonly folder: string
  /** The release's source, as \`--source\` wants it. */
  readonly source: string
  readonly deliveryFile: string
  readonly effects: () => ReadonlyArray<string>
  /** What each hook found around it, in the order of their ends; `HOOK` is its name. */
  readonly environments: () => ReadonlyArray<Readonly<Record<string, string>>>
  readonly start: Effect.Effect<Serve.ServerAddress, Error>
  /** Starts a server that kills itself, perhaps before it answers its first request. */
  readonly startToDie: (kill: Kill) => Effect.Effect<Serve.ServerAddress, Error>
  /** SIGKILL. The host, with its pods and Jobs, lives on. */
  readonly kill: Effect.Effect<void>
  /** Has the running server kill itself later. */
  readonly order: (kill: Kill) => Effect.Effect<void>
  readonly alive: () => boolean
  readonly address: () => Serve.ServerAddress
  readonly environment: () => Readonly<Record<string, string>>
  /** One request to the API: status and JSON. */
  readonly call: (
    method: string,
    path: string,
    body?: unknown
  ) => Effect.Effect<{ readonly status: number; readonly body: Record<string, unknown> }>
}

export const make = (options: { readonly takesMs: number }): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "rehearsal-"))
    const effectsFile = join(folder, "effects")
    const source = join(folder, "source")
    yield* Effect.promise(async () => {
      await mkdir(join(source, "k8s"), { recursive: true })
      await writeFile(effectsFile, "")
      await writeFile(join(source, "skaffold.yaml"), SKAFFOLD)
      for (const name of ["before", "after", "smoke"]) {
        await writeFile(join(source, `${name}.yaml`), job(name, effectsFile, options.takesMs))
      }
      await writeFile(join(source, "k8s", "kustomization.yaml"), "resources: [map.yaml]\n")
      await writeFile(
        join(source, "k8s", "map.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tiny, namespace: agents}\ndata: {a: b}\n"
      )
      await writeFile(join(folder, "delivery.yaml"), DELIVERY)
      for (const [kind, reference] of [
        ["good", GOOD],
        ["bad", BAD]
      ] as const) {
        const app = join(folder, "cache", "releases", kind, "tiny", "app")
        await mkdir(app, { recursive: true })
        await writeFile(join(app, "hook.mjs"), HOOK)
        if (kind === "bad") await writeFile(join(app, "bad"), "")
        const release = { name: kind, commit: kind, images: { tiny: reference }, source }
        await writeFile(join(app, "..", "..", "release.json"), JSON.stringify(release))
      }
    })
    const cache = join(folder, "cache")
    let child: ChildProcess | undefined
    let address: Serve.ServerAddress | undefined
    const at = () => {
      if (address === undefined) throw new Error("The server was not started.")
      return address
    }
    const alive = () => child !== undefined && child.exitCode === null && child.signalCode === null
    const kill = Effect.async<void>((resume) => {
      if (child === undefined || !alive()) return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGKILL")
    })
    yield* Effect.addFinalizer(() =>
      kill.pipe(
        Effect.zipRight(Effect.orDie(Serve.down(cache))),
        Effect.zipRight(
          Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))
        )
      )
    )
    const startWith = (order: Kill | undefined) =>
      Effect.async<Serve.ServerAddress, Error>((resume) => {
        const started = spawn(process.execPath, [join(import.meta.dirname, "serve-entry.ts"), folder], {
          stdio: ["ignore", "pipe", "pipe", "ipc"]
        })
        child = started
        if (order !== undefined) started.send(order, () => {})
        let said = ""
        started.stderr?.on("data", (chunk) => (said += chunk))
        started.stdout?.on("data", (chunk) => {
          said += chunk
          const line = /^ready (.+)$/m.exec(said)?.[1]
          if (line === undefined) return
          address = JSON.parse(line) as Serve.ServerAddress
          resume(Effect.succeed(address))
        })
        started.once("exit", (code) => resume(Effect.fail(new Error(`the server ended with ${code}:\n${said}`))))
      })
    return {
      folder,
      source,
      deliveryFile: join(folder, "delivery.yaml"),
      order: (order) =>
        Effect.async<void>((resume) => {
          if (child === undefined || !alive()) return resume(Effect.void)
          child.once("message", () => resume(Effect.void))
          child.once("exit", () => resume(Effect.void))
          child.send(order, () => {})
        }),
      alive,
      effects: () => readFileSync(effectsFile, "utf8").split("\n").filter(Boolean).sort(),
      environments: () =>
        readFileSync(`${effectsFile}.env`, "utf8")
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line) as Record<string, string>),
      start: startWith(undefined),
      startToDie: startWith,
      kill,
      address: at,
      environment: () =>
        Object.fromEntries(
          Serve.environment(at(), join(cache, "serve")).map((line) => {
            const [, key, value] = /^export ([A-Z_]+)='(.*)'$/.exec(line)!
            return [key, value]
          })
        ),
      call: (method, path, body) =>
        Effect.promise(async () => {
          const response = await fetch(`${at().url}/${path}`, {
            method,
            headers: { authorization: `Bearer ${at().token}`, "content-type": "application/json" },
            ...(body === undefined ? {} : { body: JSON.stringify(body) })
          })
          return { status: response.status, body: (await response.json()) as Record<string, unknown> }
        })
    }
  })

const hooksJson = { predeploy: { actions: ["before"] }, verify: true, postdeploy: { actions: ["after"] } }

/** Pipeline, targets and one release named `r-NAME` with this image, through the API. */
export const prepare = (server: TestServer, name: string, image: string) =>
  Effect.gen(function* () {
    const patch = (path: string, body: object) =>
      server.call("PATCH", `v1/${PARENT}/${path}?allowMissing=true&updateMask=*`, body)
    const phase = (phaseId: string, percentage: number) => ({ phaseId, percentage, profiles: ["all"], ...hooksJson })
    yield* patch("targets/dev", { gke: { cluster: "dev" } })
    yield* patch("targets/prod", { gke: { cluster: "prod" }, requireApproval: true })
    yield* patch("deliveryPipelines/tiny", {
      serialPipeline: {
        stages: [
          { targetId: "dev", profiles: ["all"], strategy: { standard: hooksJson } },
          {
            targetId: "prod",
            strategy: { canary: { customCanaryDeployment: { phaseConfigs: [phase("one", 50), phase("stable", 100)] } } }
          }
        ]
      }
    })
    const archive = join(server.folder, "source.tgz")
    yield* exec("tar", ["--create", "--gzip", "--file", archive, "--directory", server.source, "."])
    yield* Effect.promise(() =>
      fetch(`${server.address().url}/upload/storage/v1/b/sources/o?uploadType=media&name=${name}.tgz`, {
        method: "POST",
        headers: { authorization: `Bearer ${server.address().token}` },
        body: readFileSync(archive)
      }).then((response) => response.text())
    )
    return yield* server.call("POST", `v1/${PIPELINE}/releases?releaseId=r-${name}`, {
      skaffoldConfigUri: `gs://sources/${name}.tgz`,
      buildArtifacts: [{ image: "tiny", tag: image }]
    })
  })

/** Asks until a resource is in one of these states. A server that is being killed may not answer. */
export const awaitState = (server: TestServer, name: string, states: ReadonlyArray<string>) =>
  server.call("GET", `v1/${name}`).pipe(
    Effect.catchAllDefect(() => Effect.succeed({ status: 0, body: {} as Record<string, unknown> })),
    Effect.filterOrFail(
      ({ body }) => states.includes(String(body["state"])),
      ({ body }) => String(body["state"])
    ),
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("3 minutes"))),
    Effect.mapError((state) => new Error(`${name} is ${state}, not ${states.join(" or ")}, after 3 minutes`)),
    Effect.orDie
  )
