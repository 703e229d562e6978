/** What becomes of a Job whose pod somebody deletes while it runs, as a rehearsal does to the load: its end and its last words are known. */
import { expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { KubeObject } from "../../src/rehearsal/drivers/Driver.ts"
import { make } from "../drivers/objects.ts"
import { eventually } from "../support/processes.ts"
import { openCluster } from "./support.ts"

const DEADLINE_MS = 90_000
const SUMMARY = JSON.stringify({ requests: 30, text: "x".repeat(1_000) })

/** As k6 does: asked to end, it sums up and ends with a code of its own. */
const PROGRAM = `
setInterval(() => {}, 1000)
process.on("SIGTERM", () => {
  require("node:fs").writeFileSync("/dev/termination-log", process.env.SUMMARY)
  process.exit(105)
})
console.log("running")
`

it.scopedLive(
  "knows how a deleted pod of a Job ended, and what it wrote to its termination log, however fast its node forgets it",
  () =>
    Effect.gen(function* () {
      const cluster = yield* openCluster
      const base = make(process.env["CLUSTER_IMAGE"] ?? "").job("0") as KubeObject & {
        readonly spec: { readonly template: { readonly spec: { readonly containers: ReadonlyArray<object> } } }
      }
      const pod = base.spec.template.spec
      const containers = pod.containers.map((one) => ({ ...one, command: ["/nodejs/bin/node", "-e", PROGRAM] }))
      const job = { ...base, spec: { ...base.spec, template: { spec: { ...pod, containers } } } } as KubeObject
      const lines: Array<string> = []
      const running = yield* cluster
        .runJob(job, { timeoutMs: DEADLINE_MS, env: { SUMMARY }, onLine: (line) => lines.push(line) })
        .pipe(Effect.fork)
      yield* eventually(
        Effect.sync(() => lines),
        (said) => said.includes("running"),
        "the pod runs",
        DEADLINE_MS
      )
      const [found] = yield* cluster.pods
      yield* cluster.deletePod(found!.name, { gracePeriodSeconds: 30 })
      const outcome = yield* Fiber.join(running)
      expect(outcome).toMatchObject({ exitCode: 105, timedOut: false, lastWords: SUMMARY })
    }),
  DEADLINE_MS * 2
)
