import { expect, it } from "@effect/vitest"
import type { Evidence, Finding } from "./Evidence.ts"
import { standing, toHtml, verdictOfAll } from "./EvidencePage.ts"

const finding = (severity: Finding["severity"], what: string): Finding => ({
  rule: "a-rule",
  severity,
  what,
  where: "migrations/0003_x.sql",
  why: "because",
  fix: "do this\nor that"
})
const record = (change: Partial<Evidence> = {}): Evidence => ({
  format: 1,
  gate: "workflows",
  release: "0123456789abcdef",
  verdict: "passed",
  summary: "fine",
  checks: [{ name: "open executions", result: "3" }],
  findings: [],
  startedAt: new Date("2031-01-02T03:04:05Z"),
  finishedAt: new Date("2031-01-02T03:04:07Z"),
  ...change
})

it("puts the verdict first, then the gravest findings, then what was checked", () => {
  const findings = [finding("note", "By the way."), finding("hazard", "It breaks.")]
  const page = toHtml([record({ verdict: "refused", findings })])
  const places = [
    '<h1><span class="verdict refused">REFUSED',
    "It breaks.",
    "By the way.",
    "What was checked",
    "open executions"
  ]
  expect(places.map((text) => page.indexOf(text)).every((place, i, all) => place > (all[i - 1] ?? 0))).toBe(true)
})

it("needs nothing from elsewhere, and lets nothing in it run", () => {
  const page = toHtml([record({ findings: [finding("note", '<script>alert("x")</script>')], summary: "a & b <c>" })])
  expect(page).not.toContain("<script")
  expect(page).toContain("&lt;script&gt;")
  expect(page).not.toMatch(/(src|href)="(?!#)/)
  expect(page).toContain("a &amp; b &lt;c&gt;")
})

it("goes by the last word of each gate at each place", () => {
  const refused = record({ verdict: "refused", target: "dev" })
  const passed = record({ target: "dev" })
  const elsewhere = record({ verdict: "undecided", target: "prod" })
  expect(verdictOfAll([refused, passed])).toBe("passed")
  expect(standing([refused, passed, elsewhere])).toEqual([passed, elsewhere])
  expect(verdictOfAll([refused, passed, elsewhere])).toBe("undecided")
  expect(toHtml([refused, passed]).match(/<section/g)).toHaveLength(2)
})
