import { expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import type { Cluster, PodStatus } from "./drivers/Driver.ts"
import * as Live from "./Live.ts"
import { Release } from "./release/Release.ts"

const release = (name: string) =>
  Release.make({ name, commit: name, source: "", images: { agents: `agents@${name}`, "agents-smoke": "" } })
const [before, after] = [release("r-1"), release("r-2")]
const pod = (image: string, changes: Partial<PodStatus> = {}) =>
  ({
    owner: "StatefulSet/runtime",
    ready: true,
    terminating: false,
    images: [`agents@${image}`],
    ...changes
  }) as PodStatus

it("counts runners that are ready and stay, and nothing else of a release", () => {
  const pods = [
    pod("r-2"),
    pod("r-1"),
    pod("r-1"),
    pod("r-1", { terminating: true }),
    pod("r-2", { ready: false }),
    pod("r-2", { owner: "Deployment/gateway" })
  ]
  const live = Live.liveOf(pods, [after, before])
  expect(live).toEqual([
    { release: "r-2", runners: 1 },
    { release: "r-1", runners: 2 }
  ])
  expect(Live.allLive(live)).toBe(true)
  expect(Live.print(live)).toBe("1 of r-2, 2 of r-1")
  expect(Live.allLive(Live.liveOf(pods.slice(1), [after, before]))).toBe(false)
})

it.effect("waits for a runner that is on its way back, and not for ever", () =>
  Effect.gen(function* () {
    const cluster = (looks: number) => {
      let asked = 0
      return {
        pods: Effect.sync(() => (++asked > looks ? [pod("r-1"), pod("r-2")] : [pod("r-1")]))
      } as unknown as Cluster
    }
    const live = (looks: number) =>
      Effect.gen(function* () {
        const reading = yield* Effect.fork(Live.read(cluster(looks), [after, before]))
        yield* TestClock.adjust("1 minute")
        return Live.allLive(yield* reading)
      })
    expect(yield* live(10)).toBe(true)
    expect(yield* live(1_000_000)).toBe(false)
  })
)
