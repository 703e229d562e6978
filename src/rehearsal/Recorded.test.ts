import { expect, it } from "@effect/vitest"
import { judge } from "./Recorded.ts"

const whole = { rollout: "r-to-prod-0001", state: "APPROVED", by: "ann@laptop", unknown: [], jobs: 8, images: 2 }

it("says who approved, and finds nothing wrong with a whole record", () => {
  expect(judge([whole], "prod", true)).toEqual({
    lines: ["on record: r-to-prod-0001, approved by ann@laptop, 2 images, 8 jobs"],
    problems: []
  })
})

it("takes what could not be asked for a problem where it could be, and says so where it could not", () => {
  const nothing = { ...whole, state: null, by: null, unknown: ["images, approval and jobs: refused"], jobs: 0 }
  expect(judge([nothing], "prod", true).problems).toEqual([
    "The record of r-to-prod-0001 lacks images, approval and jobs: refused."
  ])
  const away = judge([nothing], "prod", false)
  expect(away.problems).toEqual([])
  expect(away.lines[0]).toContain("pods can't reach this machine")
})

it("misses a record that was never written", () => {
  expect(judge([], "prod", false).problems).toEqual(["Nothing is on record of this commit's rollout to prod."])
})
