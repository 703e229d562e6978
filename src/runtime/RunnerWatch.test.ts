import { describe, expect, it } from "vitest"
import { type Answer, applicationName, FENCE_AFTER, judge, OFF_RING_AFTER, type Verdict } from "./RunnerWatch.ts"

const verdicts = (answers: ReadonlyArray<Answer>): ReadonlyArray<Verdict> => {
  let rounds = 0
  return answers.map((answer) => {
    const { silentRounds, verdict } = judge(rounds, answer)
    rounds = silentRounds
    return verdict
  })
}
const silence = (rounds: number): ReadonlyArray<Answer> => Array.from({ length: rounds }, () => "silent")

describe("RunnerWatch", () => {
  it("takes a runner that refuses connections off the ring at once", () => {
    expect(verdicts(["alive", "refused"])).toEqual(["nothing", "off-ring"])
  })

  it("takes a silent runner off the ring first, and ends its session once when it stays silent", () => {
    const seen = verdicts(silence(FENCE_AFTER + 5))
    expect(seen.indexOf("off-ring")).toBe(OFF_RING_AFTER - 1)
    expect(seen.indexOf("fence")).toBe(FENCE_AFTER - 1)
    expect(seen.filter((verdict) => verdict !== "nothing")).toHaveLength(2)
  })

  it("starts counting again after any answer", () => {
    expect(verdicts([...silence(OFF_RING_AFTER - 1), "alive", ...silence(OFF_RING_AFTER - 1)])).not.toContain(
      "off-ring"
    )
  })

  it("names sessions by the pod, within what Postgres keeps of a name", () => {
    const host = "effect-agent-runtime-0.effect-agent-runners.agents.svc.cluster.local"
    expect(applicationName({ host, port: 50_000 })).toMatch(/^effect-agent-runtime-0\..{40}$/)
  })
})
