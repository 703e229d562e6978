import { describe, expect, it } from "vitest"
import { Ages, inWords, wayOut } from "./Waiting.ts"

const MINUTE = 60_000
const now = 1_000 * MINUTE
const agesOf = (...minutes: ReadonlyArray<number>) => {
  const ages = new Ages()
  for (const each of minutes) ages.add(now - each * MINUTE)
  return ages
}
const lived = { ended: 40, half: 5 * MINUTE, most: 60 * MINUTE, longest: 180 * MINUTE }

describe("how long to wait for executions to end", () => {
  it("is what the youngest still has, of what nearly all took", () => {
    expect(wayOut("Order", agesOf(20, 30), lived, now)).toContain(
      "these 2 executions to end, while starts go to another workflow version: about 40 minutes from now (of 40 that ended"
    )
    expect(wayOut("Order", agesOf(70), lived, now)).toContain("soon, most likely")
  })
  it("is not told of those that are older than any that ended", () => {
    expect(wayOut("Order", agesOf(20, 500), lived, now)).toContain(
      "about 40 minutes from now, but for 1 older than any of those (the oldest 8 hours)"
    )
    expect(wayOut("Order", agesOf(500, 600), lived, now)).toContain(
      "all are older than any of those (the oldest 10 hours), so nothing tells when"
    )
  })
  it("is not told where none has ended", () => {
    expect(wayOut("Order", agesOf(500), undefined, now)).toContain("can't be estimated; the oldest is 8 hours old")
  })
  it("is in words that a person uses", () => {
    expect([0, 1_000, 90_000, 7_200_000, 200_000_000].map(inWords)).toEqual([
      "0 seconds",
      "1 second",
      "90 seconds",
      "2 hours",
      "2 days"
    ])
  })
})
