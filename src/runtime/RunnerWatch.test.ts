import { describe, expect, it } from "vitest"
import { type Answer, applicationName, FENCE_AFTER, judge, OFF_RING_AFTER, type Verdict } from "./RunnerWatch.ts"

type Seen = Answer | "unknown"

const verdicts = (answers: ReadonlyArray<Seen>, roundMillis = 1_000): ReadonlyArray<Verdict> => {
  let silent = 0
  return answers.map((answer) => {
    const { silentMillis, verdict } = judge(silent, answer, roundMillis)
    silent = silentMillis
    return verdict
  })
}
const rounds = (count: number, answer: Seen): ReadonlyArray<Seen> => Array.from({ length: count }, () => answer)

describe("RunnerWatch", () => {
  it("takes a runner that refuses connections off the ring at once", () => {
    expect(verdicts(["alive", "refused"])).toEqual(["nothing", "off-ring"])
  })

  it("takes a silent runner off the ring first, and ends its session once when it stays silent", () => {
    const seen = verdicts(rounds(20, "silent"))
    expect(seen.indexOf("off-ring")).toBe(Math.ceil(OFF_RING_AFTER / 1_000) - 1)
    expect(seen.indexOf("fence")).toBe(Math.ceil(FENCE_AFTER / 1_000) - 1)
    expect(seen.filter((verdict) => verdict !== "nothing")).toHaveLength(2)
  })

  it("leaves a runner alone that is slow: any answer starts the count again", () => {
    const slow = Array.from({ length: 10 }, () => [...rounds(4, "silent"), "alive" as const]).flat()
    expect(new Set(verdicts(slow))).toEqual(new Set(["nothing"]))
  })

  it("does not take its own sleep for others' silence", () => {
    // Woken after an hour: the round is as long as that, and its event loop stood still.
    expect(verdicts(rounds(3, "silent"), 3_600_000)).not.toContain("fence")
    expect(new Set(verdicts(rounds(50, "unknown"), 3_600_000))).toEqual(new Set(["nothing"]))
  })

  it("names sessions by the pod, within what Postgres keeps of a name", () => {
    const host = "effect-agent-runtime-0.effect-agent-runners.agents.svc.cluster.local"
    expect(applicationName({ host, port: 50_000 })).toMatch(/^effect-agent-runtime-0\..{40}$/)
  })
})
