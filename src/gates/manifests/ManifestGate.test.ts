import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { broken, type Mutable, sound } from "../../../test/hazards/manifests.ts"
import { judge } from "./ManifestGate.ts"
import type { DeliverySet } from "./Rule.ts"
import { rules } from "./registry.ts"
import { differences } from "./rules/PhasesDifferInPartition.ts"

const verdict = (set: DeliverySet) => judge(set, { release: "test", startedAt: new Date() })

describe("the manifest gate", () => {
  it.effect("passes the repository's own manifests, every rule having covered something", () =>
    Effect.gen(function* () {
      const evidence = yield* verdict(sound)
      expect(evidence.findings).toEqual([])
      expect(evidence.verdict).toBe("passed")
      expect(evidence.checks).toHaveLength(rules.length)
    })
  )

  for (const { rule, when, edit, says } of broken) {
    it.effect(`${rule}: refuses when ${when}`, () =>
      Effect.gen(function* () {
        const set = structuredClone(sound) as Mutable<DeliverySet>
        edit(set)
        const evidence = yield* verdict(set)
        expect(evidence.verdict).toBe("refused")
        const own = evidence.findings.filter((finding) => finding.rule === rule)
        expect(own.map(({ what }) => what).join("\n") + own.map(({ where }) => where).join("\n")).toContain(says)
        for (const finding of own) {
          expect(finding.why.length).toBeGreaterThan(20)
          expect(JSON.stringify(finding)).not.toContain("hunter2")
        }
      })
    )
  }

  it("has a broken fixture for every rule", () => {
    expect([...new Set(broken.map(({ rule }) => rule))].sort()).toEqual(rules.map(({ name }) => name).sort())
  })

  it("passes images named by digest once a release's images were put in", () => {
    const digest = `agents@sha256:${"a".repeat(64)}`
    const text = JSON.stringify(sound).replaceAll(/"image":"agents(-smoke)?"/g, `"image":"${digest}"`)
    const set = { ...(JSON.parse(text) as DeliverySet), released: true }
    expect(Effect.runSync(verdict(set)).findings).toEqual([])
  })

  it("finds where two objects differ", () => {
    expect(differences({ a: { b: 1, c: [1] } }, { a: { b: 2, c: [1, 2] } })).toEqual(["a.b", "a.c.1"])
  })
})
