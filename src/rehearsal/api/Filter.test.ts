import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import { parseFilter, sorted } from "./Filter.ts"

const rollout = {
  targetId: "dev",
  state: "SUCCEEDED",
  deployEndTime: "2026-03-01T10:00:00.000Z",
  labels: { team: "core" },
  percentage: 100
}

describe("parseFilter", () => {
  it.each([
    ["", true],
    ['targetId="dev"', true],
    ["TargetId = 'dev'", true],
    ['target_id="prod"', false],
    ['targetId="dev" AND state="SUCCEEDED"', true],
    ['targetId="dev" state="FAILED"', false],
    ['state="FAILED" OR state="SUCCEEDED"', true],
    // OR binds tighter than AND (AIP-160): false AND (… OR true).
    ['targetId="prod" AND state="FAILED" OR state="SUCCEEDED"', false],
    ['(targetId="prod" AND state="FAILED") OR state="SUCCEEDED"', true],
    ['NOT state="FAILED"', true],
    ['-state="SUCCEEDED"', false],
    ['-(state="FAILED" OR targetId="prod")', true],
    ['state!="SUCCEEDED"', false],
    ["labels.team:*", true],
    ["labels.owner:*", false],
    ["labels.team:cor", true],
    ['deployEndTime>"2026-02-01T00:00:00.000Z"', true],
    ["percentage>9", true],
    ["percentage<=99", false]
  ])("%s is %s", (filter, answer) => {
    expect(Either.map(parseFilter(filter), (test) => test(rollout))).toEqual(Either.right(answer))
  })

  it.each([
    "targetId",
    'targetId="dev',
    '(state="FAILED"',
    'state="FAILED")',
    "= x",
    "a=b AND",
    `a=${"b".repeat(2_000)}`
  ])("refuses %s", (filter) => expect(Either.isLeft(parseFilter(filter))).toBe(true))
})

describe("sorted", () => {
  const items = [
    { id: "a", deployEndTime: "2026-03-01", state: "X" },
    { id: "b", deployEndTime: "2026-03-03", state: "Y" },
    { id: "c", state: "X" }
  ]
  it.each([
    ["", "abc"],
    ["DeployEndTime desc", "bac"],
    ["deployEndTime", "cab"],
    ["state desc, deployEndTime desc", "bac"],
    ["state,deploy_end_time", "cab"]
  ])("%s", (orderBy, ids) => {
    expect(
      sorted(items, orderBy)
        .map(({ id }) => id)
        .join("")
    ).toBe(ids)
  })
})
