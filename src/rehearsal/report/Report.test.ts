import { describe, expect, it } from "@effect/vitest"
import { figures } from "./Measured.ts"
import { print, Report } from "./Report.ts"

const report = (changes: Partial<typeof Report.Type>) =>
  Report.make({
    production: "prod",
    requestsFailed: 0,
    executionsLost: 0,
    eventsDoubled: 0,
    passed: true,
    commit: "abc",
    durationMs: 60_000,
    requests: 10,
    runs: 5,
    latency: { p50: 20, p95: 40 },
    takeovers: [1400],
    runnerStarts: [700, 900, 2000],
    steps: [
      {
        name: "bad release to dev",
        target: "dev",
        release: "r-1",
        durationMs: 1200,
        gates: [{ name: "gate-workflows", verdict: "refused", durationMs: 1200 }],
        outcome: "refused",
        expected: true
      }
    ],
    problems: [],
    ...changes
  })

describe("the report of a rehearsal", () => {
  it("says that a refusal is what was to be shown", () => {
    const text = print(report({}))
    expect(text).toContain("gate-workflows refused")
    expect(text).toContain("refused, as it must be")
    expect(text).toContain("0.9 s median of 3, 0.7 s to 2.0 s")
    expect(text).toContain("PASSED")
  })

  it("names every problem when it did not pass", () => {
    const text = print(
      report({ passed: false, executionsLost: 1, problems: ["prod: run r never ended (status accepted)"] })
    )
    expect(text).toContain("executions lost    1 of 5")
    expect(text).toContain("FAILED:\n  - prod: run r never ended")
  })

  it("says which releases were live side by side", () => {
    const [step] = report({}).steps
    const live = [
      { release: "r-2", runners: 1 },
      { release: "r-1", runners: 2 }
    ]
    const text = print(report({ steps: [{ ...step!, name: "this commit to prod, one-replica", live }] }))
    expect(text).toContain("runners live       1 of r-2, 2 of r-1, at the end of this commit to prod, one-replica")
  })

  it("finds figures in logs of any form", () => {
    expect(figures('{"message":"Shards held 0.67 s after process start"}', /Shards held ([\d.]+) s/g)).toEqual([670])
  })
})
