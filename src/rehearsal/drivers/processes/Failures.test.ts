/** What goes wrong on a cluster goes wrong here, in the same way and with the reason. */
import { spawn } from "node:child_process"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { deployment, eventually, service, statefulSet, testDriver } from "../../../../test/support/processes.ts"
import type { RolloutFailed } from "../Driver.ts"

const failure = <A, R>(effect: Effect.Effect<A, RolloutFailed, R>) => Effect.flip(effect)

const alive = (pid: number) => {
  try {
    process.kill(pid, 0)
    // A zombie still has its id until its parent looks.
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")
  } catch {
    return false
  }
}

it.scopedLive("ends the wait with the pod's last lines when it crashes again and again", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const objects = [deployment({ env: { FAIL: "start" } })]
    yield* cluster.apply(objects)
    const failed = yield* failure(cluster.awaitRollout(objects, { deadlineMs: 30_000 }))
    expect(failed.object).toBe("Deployment/gateway")
    expect(failed.message).toMatch(/CrashLoopBackOff.*3 times.*exit code 3/)
    expect(failed.log).toContain("no database at 10.0.0.1")
  })
)

it.scopedLive("ends the wait at once when the image does not exist, and says which", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const objects = [deployment({ container: { image: "app:missing" } })]
    yield* cluster.apply(objects)
    const failed = yield* failure(cluster.awaitRollout(objects, { deadlineMs: 30_000 }))
    expect(failed.message).toContain("ImagePullBackOff")
    expect(failed.message).toContain("no folder holds app:missing")
  })
)

it.scopedLive("does not touch ready pods while the updated one does not become ready, and can go back", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("prod")
    const good = [statefulSet({ env: { VERSION: "v1" } })]
    yield* cluster.apply(good)
    yield* cluster.awaitRollout(good, { deadlineMs: 20_000 })
    const bad = [statefulSet({ env: { VERSION: "v2", READY: "no" } })]
    yield* cluster.apply(bad)
    const failed = yield* failure(cluster.awaitRollout(bad, { deadlineMs: 2000 }))
    expect(failed.message).toContain("has not rolled out within 2 s")
    expect(failed.message).toContain("runtime-2 (Running, not ready")
    const ready = (yield* cluster.pods).filter((pod) => pod.ready).map(({ name }) => name)
    expect(ready.toSorted()).toEqual(["runtime-0", "runtime-1"])

    yield* cluster.apply(good)
    yield* cluster.awaitRollout(good, { deadlineMs: 20_000 })
    expect((yield* cluster.pods).every((pod) => pod.ready)).toBe(true)
  })
)

it.scopedLive("applies nothing of a set when one object is refused", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const refused = yield* Effect.flip(cluster.apply([service, deployment(), statefulSet({ partition: 3 })]))
    expect(refused).toMatchObject({ _tag: "ManifestRefused", object: "StatefulSet/runtime" })
    expect(yield* cluster.pods).toEqual([])
    expect((yield* Effect.flip(cluster.serviceAddress("gateway", "http"))).message).toContain("no Service")
  })
)

it.scopedLive("restarts a killed container in place, at once", () =>
  Effect.gen(function* () {
    const { driver, events } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const objects = [statefulSet({ replicas: 1 })]
    yield* cluster.apply(objects)
    yield* cluster.awaitRollout(objects, { deadlineMs: 20_000 })
    const [before] = yield* cluster.pods
    process.kill(before?.pid ?? 0, "SIGKILL")
    const [after] = yield* eventually(
      cluster.pods,
      ([pod]) => pod?.ready === true && pod.restarts === 1,
      "ready again",
      3000
    )
    expect(after?.pid).not.toBe(before?.pid)
    expect(after?.address).toBe(before?.address)
    expect(events.map(({ type }) => type)).toEqual(["started", "ready", "unready", "restarted", "ready"])
  })
)

it.scopedLive("deletes a pod: hook, SIGTERM, then SIGKILL when the grace is over, and replaces it", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const preStop = { exec: { command: ["/nodejs/bin/node", "-e", 'console.log("hook of " + process.env.POD_NAME)'] } }
    const objects = [statefulSet({ replicas: 1, env: { STUBBORN: "1" }, container: { lifecycle: { preStop } } })]
    yield* cluster.apply(objects)
    yield* cluster.awaitRollout(objects, { deadlineMs: 20_000 })
    const [before] = yield* cluster.pods
    yield* cluster.deletePod("runtime-0", { gracePeriodSeconds: 1 })
    yield* eventually(cluster.pods, ([pod]) => pod?.ready === true && pod.pid !== before?.pid, "replaced")
    expect(alive(before?.pid ?? 0)).toBe(false)
    const log = readFileSync(join(cluster.logFolder, "runtime-0_app.log"), "utf8")
    expect(log.indexOf("hook of runtime-0")).toBeGreaterThan(-1)
    expect(log.indexOf("ignoring SIGTERM")).toBeGreaterThan(log.indexOf("hook of runtime-0"))
    expect((yield* Effect.flip(cluster.deletePod("runtime-9", {}))).message).toContain("runtime-0")
  })
)

it.scopedLive("leaves no process when the scope closes", () =>
  Effect.gen(function* () {
    const pids = yield* Effect.scoped(
      Effect.gen(function* () {
        const { driver } = yield* testDriver()
        const cluster = yield* driver.open("dev")
        const objects = [statefulSet({ replicas: 2, env: { STUBBORN: "1" } })]
        yield* cluster.apply(objects)
        yield* cluster.awaitRollout(objects, { deadlineMs: 20_000 })
        return (yield* cluster.pods).map(({ pid }) => pid ?? 0)
      })
    )
    expect(pids.length).toBe(2)
    expect(pids.filter(alive)).toEqual([])
  })
)

it.scopedLive("leaves no process when the rehearsal is killed, not a frozen one, not a stray one", () =>
  Effect.gen(function* () {
    const parent = spawn(
      process.execPath,
      [fileURLToPath(new URL("../../../../test/support/process-driver-parent.ts", import.meta.url))],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    const line = yield* Effect.promise(
      () => new Promise<string>((resolve) => parent.stdout.once("data", (data: Buffer) => resolve(data.toString())))
    )
    const { folder, pids } = JSON.parse(line) as { readonly folder: string; readonly pids: ReadonlyArray<number> }
    expect(pids.length).toBe(4)
    expect(pids.filter(alive)).toEqual(pids)
    parent.kill("SIGKILL")
    yield* eventually(
      Effect.sync(() => pids.filter(alive).length),
      (count) => count === 0,
      "all processes gone",
      5000
    )
    rmSync(folder, { recursive: true, force: true })
    expect(existsSync(folder)).toBe(false)
  })
)
