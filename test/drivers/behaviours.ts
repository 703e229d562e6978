/** How a cluster behaves when releases roll through it: the same for every driver. */
import { expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import type { Cluster, DriverFailed, KubeObject, RolloutFailed } from "../../src/rehearsal/drivers/Driver.ts"
import { eventually } from "../support/processes.ts"
import { config, disruption, headless, labelled, make, service } from "./objects.ts"

export interface World {
  readonly open: Effect.Effect<Cluster, DriverFailed, Scope.Scope>
  /** Has `/nodejs/bin/node`. */
  readonly image: string
  readonly missingImage: string
  /** How long a good rollout may take. Bounds failures, measures nothing. */
  readonly deadlineMs: number
  /** How long a bad one is waited for. */
  readonly impatientMs: number
}

const get = (url: string) =>
  Effect.tryPromise(async () => {
    const response = await fetch(url, { headers: { connection: "close" } })
    return { status: response.status, text: await response.text() }
  })

const settled = (cluster: Cluster) => Effect.map(cluster.pods, (pods) => pods.filter(({ terminating }) => !terminating))

const byName = (cluster: Cluster) => Effect.map(settled(cluster), (pods) => new Map(pods.map((pod) => [pod.name, pod])))

export const behaviours = (world: World): void => {
  const { deployment, job, statefulSet } = make(world.image)
  const limit = world.deadlineMs * 3
  const rollOut = (cluster: Cluster, objects: ReadonlyArray<KubeObject>) =>
    cluster.apply(objects).pipe(Effect.zipRight(cluster.awaitRollout(objects, { deadlineMs: world.deadlineMs })))
  const failure = (cluster: Cluster, objects: ReadonlyArray<KubeObject>, deadlineMs: number) =>
    Effect.flip(cluster.awaitRollout(objects, { deadlineMs })) as Effect.Effect<RolloutFailed>

  it.scopedLive(
    "rolls a Deployment without a failed request at its Service",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        yield* rollOut(cluster, [service, deployment({ version: "v1" })])
        const { host, port } = yield* cluster.serviceAddress("gateway", "http")
        const answers: Array<string> = []
        const load = yield* get(`http://${host}:${port}/`).pipe(
          Effect.tap(({ status, text }) => Effect.sync(() => answers.push(status === 200 ? text : `status ${status}`))),
          Effect.delay("10 millis"),
          Effect.forever,
          Effect.fork
        )
        yield* rollOut(cluster, [service, deployment({ version: "v2" })])
        yield* eventually(
          Effect.sync(() => answers.at(-1)),
          (last) => last === "v2",
          "an answer of the new version",
          world.deadlineMs
        )
        expect(load.unsafePoll()).toBeNull()
        expect([...new Set(answers)].toSorted()).toEqual(["v1", "v2"])
      }),
    limit
  )

  it.scopedLive(
    "updates the highest pod first, then the others, and restarts none twice",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        yield* rollOut(cluster, [headless, statefulSet({ version: "v1" })])
        const first = yield* byName(cluster)
        expect([...first.keys()].toSorted()).toEqual(["runtime-0", "runtime-1", "runtime-2"])

        yield* rollOut(cluster, [headless, statefulSet({ version: "v2", partition: 2 })])
        const one = yield* byName(cluster)
        expect(one.get("runtime-0")).toEqual(first.get("runtime-0"))
        expect(one.get("runtime-1")).toEqual(first.get("runtime-1"))
        expect(one.get("runtime-2")?.revision).not.toBe(first.get("runtime-2")?.revision)

        yield* rollOut(cluster, [headless, statefulSet({ version: "v2" })])
        const all = yield* byName(cluster)
        expect(new Set([...all.values()].map(({ revision }) => revision)).size).toBe(1)
        expect(all.get("runtime-2")).toEqual(one.get("runtime-2"))
      }),
    limit
  )

  it.scopedLive(
    "refuses, with nothing applied, what Skaffold would call rolled out with no pod updated",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        const partition = yield* Effect.flip(cluster.apply([service, deployment(), statefulSet({ partition: 3 })]))
        expect(partition).toMatchObject({ _tag: "ManifestRefused", object: "StatefulSet/runtime" })
        expect(partition.message).toContain("would update nothing")
        const onDelete = yield* Effect.flip(
          cluster.apply([service, statefulSet({ spec: { updateStrategy: { type: "OnDelete" } } })])
        )
        expect(onDelete.message).toContain("until somebody deletes pods")
        expect(yield* cluster.pods).toEqual([])
        expect((yield* Effect.flip(cluster.serviceAddress("gateway", "http"))).message).toContain("no Service")
      }),
    limit
  )

  it.scopedLive(
    "leaves ready pods alone while the updated one does not become ready, and goes back",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        const good = [headless, statefulSet({ version: "v1" })]
        yield* rollOut(cluster, good)
        const bad = [headless, statefulSet({ version: "v2", env: { READY: "no" } })]
        yield* cluster.apply(bad)
        const failed = yield* failure(cluster, bad, world.impatientMs)
        expect(failed.object).toBe("StatefulSet/runtime")
        expect(failed.message).toContain(`has not rolled out within ${world.impatientMs / 1000} s`)
        expect(failed.message).toContain("runtime-2 (")
        const ready = (yield* cluster.pods).filter((pod) => pod.ready).map(({ name }) => name)
        expect(ready.toSorted()).toEqual(["runtime-0", "runtime-1"])
        yield* rollOut(cluster, good)
        expect((yield* settled(cluster)).map(({ ready: yes }) => yes)).toEqual([true, true, true])
      }),
    limit
  )

  it.scopedLive(
    "ends at once when an image does not exist, and a rollback replaces the stuck pod though the order is strict",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        const ordered = { podManagementPolicy: "OrderedReady" }
        const good = [headless, statefulSet({ replicas: 2, spec: ordered })]
        yield* rollOut(cluster, good)
        const bad = [headless, statefulSet({ replicas: 2, image: world.missingImage, spec: ordered })]
        yield* cluster.apply(bad)
        const failed = yield* failure(cluster, bad, world.deadlineMs)
        expect(failed.message).toContain("ImagePullBackOff")
        expect(failed.message).toContain(world.missingImage.split("@")[0]!)
        yield* rollOut(cluster, good)
        expect((yield* settled(cluster)).flatMap(({ images }) => images)).toEqual([world.image, world.image])
      }),
    limit
  )

  it.scopedLive(
    "ends with a pod's last lines when it crashes again and again",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        const objects = [deployment({ env: { FAIL: "1" }, replicas: 1 })]
        yield* cluster.apply(objects)
        const failed = yield* failure(cluster, objects, world.deadlineMs)
        expect(failed.message).toMatch(/CrashLoopBackOff.*3 times.*exit code 3/)
        expect(failed.log).toContain("no database at 10.0.0.1")
      }),
    limit
  )

  it.scopedLive(
    "runs hooks as Jobs: an exit code is an outcome, the log is kept, nothing stays behind",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        const options = { timeoutMs: world.deadlineMs, env: { CLOUD_DEPLOY_TARGET: "test" } }
        const lines: Array<string> = []
        const passed = yield* cluster.runJob(job("0"), { ...options, onLine: (line) => lines.push(line) })
        expect(passed).toMatchObject({ exitCode: 0, timedOut: false, log: ["hook of test"] })
        expect(lines).toEqual(passed.log)
        const failed = yield* cluster.runJob(job("10"), options)
        expect(failed).toMatchObject({ exitCode: 10, timedOut: false, log: ["hook of test"] })
        const missing = yield* Effect.flip(cluster.runJob(job("0", { image: world.missingImage }), options))
        expect(missing.message).toContain("ImagePullBackOff")
        yield* eventually(cluster.pods, (pods) => pods.length === 0, "no pod left", world.deadlineMs)
      }),
    limit
  )

  it.scopedLive(
    "ends a Job at its deadline and keeps what it printed",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        const late = yield* cluster.runJob(job("hang", { spec: { activeDeadlineSeconds: 5 } }), {
          timeoutMs: world.deadlineMs,
          env: { CLOUD_DEPLOY_TARGET: "test" }
        })
        expect(late).toMatchObject({ exitCode: 124, timedOut: true })
        expect(late.log[0]).toBe("hook of test")
        expect(late.log.at(-1)).toContain("was ended after 5 s")
        yield* eventually(cluster.pods, (pods) => pods.length === 0, "no pod left", world.deadlineMs)
      }),
    limit
  )

  it.scopedLive(
    "moves pods off a node, within their disruption budgets",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        yield* rollOut(cluster, [headless, statefulSet({ replicas: 2 }), disruption("runtime")])
        const before = yield* byName(cluster)
        const node = before.get("runtime-0")?.node ?? ""
        const seen: Array<number> = []
        yield* settled(cluster).pipe(
          Effect.tap((pods) => Effect.sync(() => seen.push(pods.filter(({ ready }) => ready).length))),
          Effect.delay("50 millis"),
          Effect.forever,
          Effect.forkScoped
        )
        yield* Effect.acquireRelease(cluster.drainNode(node), () => cluster.uncordonNode(node).pipe(Effect.orDie))
        yield* cluster.awaitRollout([statefulSet({ replicas: 2 })], { deadlineMs: world.deadlineMs })
        const after = yield* byName(cluster)
        expect([...after.keys()].toSorted()).toEqual(["runtime-0", "runtime-1"])
        expect(after.get("runtime-0")?.startedAt).not.toEqual(before.get("runtime-0")?.startedAt)
        expect(Math.min(...seen)).toBeGreaterThanOrEqual(1)
        expect((yield* Effect.flip(cluster.drainNode("no-such-node"))).message).toContain("no-such-node")
      }),
    limit
  )

  it.scopedLive(
    "scales down from the highest pod, and replaces a pod that was killed",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        yield* rollOut(cluster, [headless, statefulSet({ replicas: 3 })])
        yield* rollOut(cluster, [headless, statefulSet({ replicas: 1 })])
        const [left] = yield* eventually(cluster.pods, (pods) => pods.length === 1, "one pod left", world.deadlineMs)
        expect(left?.name).toBe("runtime-0")
        yield* cluster.deletePod("runtime-0", { gracePeriodSeconds: 0 })
        yield* eventually(
          cluster.pods,
          ([pod]) => pod?.ready === true && pod.startedAt > left!.startedAt,
          "runtime-0 again",
          world.deadlineMs
        )
        expect((yield* Effect.flip(cluster.deletePod("runtime-9", {}))).message).toContain("runtime-9")
      }),
    limit
  )

  it.scopedLive(
    "prunes what a release removed, and nothing that is read, foreign or data",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        const reading = (name: string) => ({ container: { envFrom: [{ configMapRef: { name } }] } })
        const first = [
          config("settings-1"),
          config("unread"),
          headless,
          statefulSet({ replicas: 2, ...reading("settings-1") }),
          deployment({ replicas: 1 })
        ].map((object) => labelled(object))
        const foreign = labelled(config("foreign"), "another-pipeline")
        yield* cluster.apply([foreign])
        yield* rollOut(cluster, first)
        // One of two pods still reads the settings of the first release, and could be restarted.
        const half = [
          config("settings-2"),
          headless,
          statefulSet({ replicas: 2, partition: 1, version: "v2", ...reading("settings-2") })
        ].map((object) => labelled(object, "agents", "r-2"))
        yield* rollOut(cluster, half)
        const atHalf = yield* cluster.prune(half)
        expect(atHalf.removed.toSorted()).toEqual(["ConfigMap/unread", "Deployment/gateway"])
        expect(atHalf.kept).toEqual(["ConfigMap/settings-1: pods that still run read it"])

        const whole = [
          config("settings-2"),
          headless,
          statefulSet({ replicas: 2, version: "v2", ...reading("settings-2") })
        ].map((object) => labelled(object, "agents", "r-2"))
        yield* rollOut(cluster, whole)
        const pruned = yield* eventually(
          cluster.prune(whole),
          ({ kept }) => kept.length === 0,
          "the first release's settings are read by nobody",
          world.deadlineMs
        )
        expect(pruned.removed).toEqual(["ConfigMap/settings-1"])
        yield* eventually(
          cluster.pods,
          (pods) => pods.every(({ owner }) => owner === "StatefulSet/runtime"),
          "the Deployment's pod is gone",
          world.deadlineMs
        )
        expect((yield* cluster.prune([labelled(headless, "another-pipeline")])).removed).toEqual(["ConfigMap/foreign"])
      }),
    limit
  )

  it.scopedLive(
    "explains a change that Kubernetes does not allow, and changes nothing",
    () =>
      Effect.gen(function* () {
        const cluster = yield* world.open
        yield* rollOut(cluster, [headless, statefulSet({ replicas: 1 })])
        const before = yield* byName(cluster)
        const refused = yield* Effect.flip(
          cluster.apply([
            headless,
            statefulSet({ replicas: 1, version: "v2", spec: { podManagementPolicy: "OrderedReady" } })
          ])
        )
        expect(refused).toMatchObject({ _tag: "ManifestRefused", object: "StatefulSet/runtime" })
        expect(refused.message).toMatch(/orphan/)
        expect(yield* byName(cluster)).toEqual(before)
      }),
    limit
  )
}
