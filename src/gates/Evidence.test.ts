import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { ExitCode } from "../domain/ExitCode.ts"
import * as Evidence from "./Evidence.ts"

const finding = (severity: Evidence.Severity): Evidence.Finding => ({
  rule: "some-rule",
  severity,
  what: `A ${severity} was found.`,
  where: "0002_x.sql",
  why: "It breaks.",
  fix: "Do this.\nThen that.",
  detail: "column gone"
})

const evidence = (findings: ReadonlyArray<Evidence.Finding>) =>
  Evidence.make({
    gate: "migrations",
    release: "abc",
    summary: (verdict) => `It ${verdict}.`,
    checks: [{ name: "history", result: "3 migrations, none edited" }],
    findings,
    startedAt: new Date(0),
    env: { CLOUD_DEPLOY_TARGET: "prod", CLOUD_DEPLOY_PHASE: "" }
  })

describe("Evidence", () => {
  it.each([
    { findings: [], verdict: "passed", exitCode: ExitCode.passed },
    { findings: [finding("note")], verdict: "passed", exitCode: ExitCode.passed },
    { findings: [finding("note"), finding("undecided")], verdict: "undecided", exitCode: ExitCode.undecided },
    { findings: [finding("undecided"), finding("hazard")], verdict: "refused", exitCode: ExitCode.refused }
  ])("lets the gravest finding decide: $verdict", ({ findings, verdict, exitCode }) => {
    expect(Evidence.verdictOf(findings)).toBe(verdict)
    expect(Evidence.exitCodeOf(Evidence.verdictOf(findings))).toBe(exitCode)
  })

  it.effect("keeps what Cloud Deploy says about the place, and nothing where it says nothing", () =>
    Effect.gen(function* () {
      const json = Evidence.toJson(yield* evidence([]))
      expect(json).toMatchObject({ target: "prod", verdict: "passed", startedAt: "1970-01-01T00:00:00.000Z" })
      expect(json).not.toHaveProperty("phase")
    })
  )

  it.effect("puts the verdict first and hazards before notes", () =>
    Effect.gen(function* () {
      const text = Evidence.toText(yield* evidence([finding("note"), finding("hazard")]))
      expect(text.split("\n")[0]).toBe("gate migrations: REFUSED. It refused.")
      expect(text.indexOf("A hazard was found")).toBeLessThan(text.indexOf("A note was found"))
      expect(text).toContain("  do      Do this.\n          Then that.")
    })
  )
})
