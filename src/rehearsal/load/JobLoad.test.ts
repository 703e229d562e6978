import { expect, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import type { Cluster, JobOptions, KubeObject } from "../drivers/Driver.ts"
import { loadJob, start } from "./JobLoad.ts"

const smoke: KubeObject = {
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name: "smoke", labels: { app: "smoke" } },
  spec: {
    backoffLimit: 0,
    activeDeadlineSeconds: 300,
    template: {
      metadata: { labels: { app: "smoke" } },
      spec: {
        serviceAccountName: "agent-smoke",
        containers: [
          {
            name: "smoke",
            image: "agents-smoke@sha256:1",
            command: ["k6", "run", "/smoke/release.js"],
            env: [{ name: "GATEWAY_URL", value: "http://gateway" }]
          }
        ]
      }
    }
  }
}
const SUMMARY = {
  requests: 30,
  requestsFailed: 1,
  runsAccepted: 10,
  runsCompleted: 9,
  runsUnfinished: 1,
  eventsDoubled: 0,
  eventsOutOfOrder: 0,
  p50: 1.5,
  p95: 2.5,
  seconds: 12
}

it("is the smoke run's pod with the other script, and with no deadline of a smoke run", () => {
  const job = loadJob(smoke)
  expect(job.metadata.name).toBe("load")
  expect(job["spec"]).not.toHaveProperty("activeDeadlineSeconds")
  expect(job).toMatchObject({
    spec: {
      template: {
        metadata: { labels: { app: "smoke" } },
        spec: {
          serviceAccountName: "agent-smoke",
          containers: [
            {
              image: "agents-smoke@sha256:1",
              command: expect.arrayContaining(["/smoke/load.js"]),
              env: [{ name: "GATEWAY_URL", value: "http://gateway" }]
            }
          ]
        }
      }
    }
  })
})

/** A cluster whose load pod prints these lines when it is asked to end. */
const clusterWith = (last: ReadonlyArray<string>, lastWords?: string) =>
  Effect.gen(function* () {
    const asked = yield* Deferred.make<number | undefined>()
    const env: Array<JobOptions["env"]> = []
    const cluster = {
      runJob: (_: KubeObject, options: JobOptions) =>
        Effect.gen(function* () {
          env.push(options.env)
          options.onLine?.('time="now" level=error msg="start of run-1 failed"')
          yield* Deferred.await(asked)
          for (const line of last) options.onLine?.(line)
          return {
            exitCode: 105,
            durationMs: 1,
            log: [],
            timedOut: false,
            ...(lastWords === undefined ? {} : { lastWords })
          }
        }),
      pods: Effect.succeed([{ name: "load-x", owner: "Job/load", phase: "Running" }]),
      deletePod: (_: string, { gracePeriodSeconds }: { readonly gracePeriodSeconds?: number }) =>
        Deferred.succeed(asked, gracePeriodSeconds).pipe(Effect.asVoid)
    } as unknown as Cluster
    return { cluster, asked, env }
  })
const hook = { name: "smoke", job: smoke, timeoutMs: 1 }

it.scoped("ends the load by ending its pod with time to sum up, and reads the summary among its lines", () =>
  Effect.gen(function* () {
    const { cluster, asked, env } = yield* clusterWith([JSON.stringify(SUMMARY), 'level=error msg="aborted"'])
    const load = yield* start({ cluster, smoke: hook, rate: 3 })
    yield* Effect.yieldNow()
    expect(env).toEqual([{ RATE: "3", DURATION: "3600s", SUMMARY_FILE: "/dev/termination-log" }])
    expect(load.complaints()).toHaveLength(1)
    expect(yield* load.stop).toMatchObject({ requests: 30, requestsFailed: 1, p95: 2.5 })
    expect(yield* Deferred.await(asked)).toBe(90)
  })
)

it.scoped(
  "reads the summary in the pod's status where the end of its log was never read: its node had removed it",
  () =>
    Effect.gen(function* () {
      const { cluster } = yield* clusterWith([], `${JSON.stringify(SUMMARY)}\n`)
      const load = yield* start({ cluster, smoke: hook, rate: 3 })
      expect(yield* load.stop).toMatchObject({ requests: 30, requestsFailed: 1, p95: 2.5 })
    })
)

it.scoped("fails with the load's last words where it left no summary", () =>
  Effect.gen(function* () {
    const { cluster } = yield* clusterWith(["panic: out of memory"])
    const load = yield* start({ cluster, smoke: hook, rate: 3 })
    const failed = yield* Effect.flip(load.stop)
    expect(failed.message).toContain("left no summary")
    expect(failed.message).toContain("panic: out of memory")
  })
)
