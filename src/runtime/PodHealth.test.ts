import { writeFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { crashed, pod, podApi, running } from "../../test/support/pod-api.ts"
import { until } from "../../test/support/wait.ts"
import * as PodHealth from "./PodHealth.ts"

const host = (name: string) => `${name}.effect-agent-runners.agents.svc.cluster.local`

const started = Effect.gen(function* () {
  const api = yield* podApi
  api.state.pods = [pod("runner-0", running), pod("runner-1", crashed)]
  const health = yield* PodHealth.watch({ url: api.url, namespace: "agents", tokenFile: api.tokenFile }, "20 millis")
  const becomes = (name: string, alive: boolean) =>
    until(
      `${name} alive: ${alive}`,
      Effect.sync(() => health.isAlive(host(name))),
      (now) => now === alive
    )
  yield* api.watching
  return { api, health, becomes }
})

describe("PodHealth", () => {
  it.scopedLive("knows pods by the name in their runner's address, and calls one alive that it never saw", () =>
    Effect.gen(function* () {
      const { health } = yield* started
      expect(["runner-0", "runner-1", "runner-7"].map((name) => health.isAlive(host(name)))).toEqual([
        true,
        false,
        true
      ])
    })
  )

  it.scopedLive("follows what happens to pods without asking again", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      yield* api.tell("MODIFIED", pod("runner-1", running))
      yield* becomes("runner-1", true)
      yield* api.tell("BOOKMARK", { metadata: { resourceVersion: "9" } })
      yield* api.tell("MODIFIED", pod("runner-0", { ...running, reason: "NodeLost" }))
      yield* becomes("runner-0", false)
      yield* api.tell("DELETED", pod("runner-1", running))
      yield* becomes("runner-1", false)
      yield* api.tell("ADDED", pod("runner-1", running))
      yield* becomes("runner-1", true)
      expect(api.state.lists).toBe(1)
    })
  )

  it.scopedLive("calls every pod alive while the API can't be read, and knows them again after", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      api.state.status = 503
      yield* api.cut
      yield* becomes("runner-1", true)
      api.state.status = 200
      yield* becomes("runner-1", false)
    })
  )

  it.scopedLive("reads its token again, which the kubelet rotates", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      api.state.token = "two"
      api.state.pods = [pod("runner-1", running)]
      yield* api.cut
      yield* until(
        "a refusal of the old token",
        Effect.sync(() => api.state.refused),
        (count) => count > 0
      )
      writeFileSync(api.tokenFile, "two\n")
      yield* until(
        "a list with the new one",
        Effect.sync(() => api.state.lists),
        (lists) => lists > 1
      )
      yield* becomes("runner-1", true)
    })
  )

  it.scopedLive("reads the list anew when the watch is too old, and finds who left meanwhile", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      api.state.pods = [pod("runner-1", running)]
      yield* api.tell("ERROR", { kind: "Status", code: 410 })
      yield* becomes("runner-1", true)
      yield* becomes("runner-0", false)
    })
  )

  it("takes a pod for dead only when its process can't be there", () => {
    const of = (status: object) => PodHealth.runs({ metadata: { name: "x" }, status })
    expect([running, {}, { phase: "Unknown" }, { phase: "Running" }].map(of)).toEqual([true, true, true, true])
    const draining = { ...running, conditions: [{ type: "Ready", status: "False" }] }
    expect(of(draining)).toBe(true)
    expect(
      [crashed, { phase: "Pending" }, { phase: "Failed" }, { phase: "Failed", reason: "Evicted" }].map(of)
    ).toEqual([false, false, false, false])
  })
})
