import { expect, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import {
  deployment,
  eventually,
  headless,
  job,
  service,
  statefulSet,
  testDriver
} from "../../../../test/support/processes.ts"
import type { Cluster } from "../Driver.ts"

const get = (url: string) =>
  Effect.tryPromise(async () => {
    const response = await fetch(url, { headers: { connection: "close" } })
    return { status: response.status, text: await response.text() }
  })

const versions = (cluster: Cluster) =>
  Effect.gen(function* () {
    const pods = yield* cluster.pods
    const answers = yield* Effect.forEach(pods, ({ address }) => get(`http://${address}:8080/`))
    return Object.fromEntries(
      answers.map(({ text }) => JSON.parse(text)).map(({ pod, version }) => [pod, version])
    ) as Readonly<Record<string, string>>
  })

const DEADLINE = { deadlineMs: 20_000 }

it.scopedLive("rolls a StatefulSet out one pod first, then all of them, and names resolve between pods", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("prod")
    const first = [headless, statefulSet({ env: { VERSION: "v1" } })]
    yield* cluster.apply(first)
    yield* cluster.awaitRollout(first, DEADLINE)
    const addresses = (yield* cluster.pods).map(({ name, address }) => [name, address])
    expect(yield* versions(cluster)).toEqual({ "runtime-0": "v1", "runtime-1": "v1", "runtime-2": "v1" })

    const one = [headless, statefulSet({ env: { VERSION: "v2" }, partition: 2 })]
    yield* cluster.apply(one)
    yield* cluster.awaitRollout(one, DEADLINE)
    expect(yield* versions(cluster)).toEqual({ "runtime-0": "v1", "runtime-1": "v1", "runtime-2": "v2" })
    const pidOfTwo = (yield* cluster.pods).find(({ name }) => name === "runtime-2")?.pid

    const all = [headless, statefulSet({ env: { VERSION: "v2" } })]
    yield* cluster.apply(all)
    yield* cluster.awaitRollout(all, DEADLINE)
    expect(yield* versions(cluster)).toEqual({ "runtime-0": "v2", "runtime-1": "v2", "runtime-2": "v2" })
    const pods = yield* cluster.pods
    expect(pods.find(({ name }) => name === "runtime-2")?.pid).toBe(pidOfTwo)
    expect(new Set(pods.map(({ name, address }) => `${name} ${address}`))).toEqual(
      new Set(addresses.map(([name, address]) => `${name} ${address}`))
    )

    const answer = yield* get(`http://${pods[0]?.address}:8080/lookup?name=runtime-1.runners.agents.svc.cluster.local`)
    expect(JSON.parse(answer.text)).toEqual([
      { address: pods.find(({ name }) => name === "runtime-1")?.address, family: 4 }
    ])
  })
)

it.scopedLive("keeps a Deployment's Service without a failed request while it rolls", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("prod")
    const first = [service, deployment({ env: { VERSION: "v1" } })]
    yield* cluster.apply(first)
    yield* cluster.awaitRollout(first, DEADLINE)
    const { host, port } = yield* cluster.serviceAddress("gateway", "http")

    const answers: Array<string> = []
    const load = yield* get(`http://${host}:${port}/`).pipe(
      Effect.tap(({ text }) => Effect.sync(() => answers.push(JSON.parse(text).version))),
      Effect.forever,
      Effect.fork
    )
    const second = [service, deployment({ env: { VERSION: "v2" } })]
    yield* cluster.apply(second)
    yield* cluster.awaitRollout(second, DEADLINE)
    const before = answers.length
    yield* eventually(
      Effect.sync(() => answers.length),
      (count) => count > before + 5,
      "five more answers"
    )
    expect(load.unsafePoll()).toBeNull()
    expect(new Set(answers)).toEqual(new Set(["v1", "v2"]))
    expect(answers.at(-1)).toBe("v2")
  })
)

it.scopedLive("runs a Job to its end and reports failure and timeout as outcomes", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const options = { timeoutMs: 20_000, env: { CLOUD_DEPLOY_TARGET: "dev" } }
    const passed = yield* cluster.runJob(job(["0"]), options)
    expect(passed).toMatchObject({ exitCode: 0, timedOut: false, log: ["target dev"] })
    const failed = yield* cluster.runJob(job(["10"]), options)
    expect(failed).toMatchObject({ exitCode: 10, timedOut: false, log: ["target dev"] })
    const late = yield* cluster.runJob(job(["hang"], { spec: { activeDeadlineSeconds: 1 } }), options)
    expect(late).toMatchObject({ exitCode: 124, timedOut: true })
    expect(yield* cluster.pods).toEqual([])
    const missing = yield* Effect.either(cluster.runJob(job(["0"], { container: { image: "app:missing" } }), options))
    expect(Either.isLeft(missing) && missing.left.message).toContain("ImagePullBackOff")
  })
)

it.scopedLive(
  "replaces no pod when only the workload's own labels change, and makes a lost pod with the old release",
  () =>
    Effect.gen(function* () {
      const { driver } = yield* testDriver()
      const cluster = yield* driver.open("prod")
      const first = statefulSet({ env: { VERSION: "v1" }, replicas: 2 })
      yield* cluster.apply([first])
      yield* cluster.awaitRollout([first], DEADLINE)
      const pids = Effect.map(cluster.pods, (pods) => new Map(pods.map(({ name, pid }) => [name, pid])))
      const before = yield* pids
      const labelled = { ...first, metadata: { ...first.metadata, labels: { "skaffold.dev/run-id": "1" } } }
      yield* cluster.apply([labelled])
      yield* cluster.awaitRollout([labelled], DEADLINE)
      expect(yield* pids).toEqual(before)

      const one = [statefulSet({ env: { VERSION: "v2" }, replicas: 2, partition: 1 })]
      yield* cluster.apply(one)
      yield* cluster.awaitRollout(one, DEADLINE)
      yield* cluster.deletePod("runtime-0", { gracePeriodSeconds: 0 })
      yield* eventually(
        cluster.pods,
        (pods) => pods.some(({ name, pid, ready }) => name === "runtime-0" && ready && pid !== before.get(name)),
        "runtime-0 again"
      )
      expect(yield* versions(cluster)).toEqual({ "runtime-0": "v1", "runtime-1": "v2" })
    })
)

it.scopedLive("updates in order with OrderedReady, one pod at a time", () =>
  Effect.gen(function* () {
    const { driver, events } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const set = (version: string) => [
      statefulSet({ env: { VERSION: version }, spec: { podManagementPolicy: "OrderedReady" } })
    ]
    yield* cluster.apply(set("v1"))
    yield* cluster.awaitRollout(set("v1"), DEADLINE)
    yield* cluster.apply(set("v2"))
    yield* cluster.awaitRollout(set("v2"), DEADLINE)
    const order = events.filter(({ type }) => type === "started" || type === "ready")
    expect(order.map(({ pod, type }) => `${pod.slice(-1)} ${type}`)).toEqual(
      [0, 1, 2, 2, 1, 0].flatMap((ordinal) => [`${ordinal} started`, `${ordinal} ready`])
    )
  })
)
