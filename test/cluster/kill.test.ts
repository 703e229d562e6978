/** What smoke and the drills do to a runner: end it through the API, with the token and the rights of their own account. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { KubeObject } from "../../src/rehearsal/drivers/Driver.ts"
import { sharedObjects } from "../../src/rehearsal/Platform.ts"
import { locate } from "../../src/rehearsal/Tools.ts"
import { headless, make } from "../drivers/objects.ts"
import { ROOT, renderAll } from "../goldens/render.ts"
import { eventually } from "../support/processes.ts"
import { openCluster } from "./support.ts"

const DEADLINE_MS = 90_000

/** As `src/drills/KubernetesApi.ts` asks. Ends with the answer's status less 200. */
const KILL = `
const folder = "/var/run/secrets/kubernetes.io/serviceaccount"
const read = (name) => require("node:fs").readFileSync(folder + "/" + name, "utf8")
const url = "https://" + process.env.KUBERNETES_SERVICE_HOST + "/api/v1/namespaces/" + read("namespace") + "/pods/runtime-0?gracePeriodSeconds=1"
fetch(url, { method: "DELETE", headers: { authorization: "Bearer " + read("token") } }).then(
  ({ status }) => { console.log("status " + status); process.exit(status - 200) },
  (error) => { console.log(error.cause?.code); process.exit(1) }
)
`

interface Container {
  readonly env?: ReadonlyArray<{ readonly name: string; readonly value?: string }>
}
interface CronJobSpec {
  readonly jobTemplate: {
    readonly spec: { readonly template: { readonly spec: { readonly containers: [Container] } } }
  }
}

it.scopedLive(
  "ends a runner through the API as the drill's account, trusting what the drill's manifest trusts, and as no other",
  () =>
    Effect.gen(function* () {
      const image = process.env["CLUSTER_IMAGE"] ?? ""
      const { statefulSet, job } = make(image)
      const cluster = yield* openCluster
      const { kustomize } = yield* locate(ROOT)
      yield* cluster.apply(yield* sharedObjects(ROOT, kustomize))
      const objects = [headless, statefulSet({ replicas: 1 })]
      yield* cluster.apply(objects)
      yield* cluster.awaitRollout(objects, { deadlineMs: DEADLINE_MS })
      const [before] = yield* cluster.pods

      const drill = (yield* renderAll())
        .flatMap((golden) => golden.objects)
        .find(({ metadata }) => metadata.name === "drill-kill-runner")!
      const [container] = (drill["spec"] as CronJobSpec).jobTemplate.spec.template.spec.containers
      const env = Object.fromEntries(
        (container.env ?? []).flatMap(({ name, value }) =>
          name === "NODE_EXTRA_CA_CERTS" ? [[name, value ?? ""]] : []
        )
      )
      const as = (account: string): KubeObject => {
        const base = job("0") as KubeObject & {
          readonly spec: { readonly template: { readonly spec: { readonly containers: ReadonlyArray<object> } } }
        }
        const pod = base.spec.template.spec
        const containers = pod.containers.map((one) => ({ ...one, command: ["/nodejs/bin/node", "-e", KILL] }))
        return {
          ...base,
          spec: { ...base.spec, template: { spec: { ...pod, serviceAccountName: account, containers } } }
        } as KubeObject
      }
      const run = (account: string) => cluster.runJob(as(account), { timeoutMs: DEADLINE_MS, env })
      expect((yield* run("agent-gate")).log).toEqual(["status 403"])
      expect((yield* run("agent-drill")).log).toEqual(["status 200"])
      yield* eventually(
        cluster.pods,
        (pods) =>
          pods.some(({ name, ready, startedAt }) => name === "runtime-0" && ready && startedAt > before!.startedAt),
        "runtime-0 again",
        DEADLINE_MS
      )
    }),
  DEADLINE_MS * 3
)
