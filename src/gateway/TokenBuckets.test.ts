import { expect, it } from "vitest"
import { make } from "./TokenBuckets.ts"

const rate = { perSecond: 10, burst: 3 }

it("lets a burst through, then one at a time, and says how long to wait", () => {
  let now = 0
  const buckets = make(() => now)
  expect([1, 2, 3, 4].map(() => buckets.take("a", rate))).toEqual([0, 0, 0, 100])
  expect(buckets.take("b", rate)).toBe(0)
  now = 50
  expect(buckets.take("a", rate)).toBe(50)
  now = 100
  expect(buckets.take("a", rate)).toBe(0)
  now = 100_000
  expect([1, 2, 3, 4].map(() => buckets.take("a", rate))).toEqual([0, 0, 0, 100])
})

it("holds no more keys than its bound, and forgets the one that was not used for longest", () => {
  const buckets = make(() => 0, 2)
  const once = { perSecond: 1, burst: 1 }
  expect(["a", "b", "a", "c"].map((key) => buckets.take(key, once))).toEqual([0, 0, 1000, 0])
  expect(buckets.size()).toBe(2)
  // "b" went, "a" is remembered.
  expect(["a", "b"].map((key) => buckets.take(key, once))).toEqual([1000, 0])
})
