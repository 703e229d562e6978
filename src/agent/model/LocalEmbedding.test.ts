import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { NEAR, vectorOf } from "./LocalEmbedding.ts"

const distance = (one: string, other: string) => {
  const there = vectorOf(other)
  return 1 - vectorOf(one).reduce((sum, value, index) => sum + value * there[index]!, 0)
}

describe("the local embedding", () => {
  it.each([
    ["Die Kundenrechnungen gehen an das Büro in Bern", "Rechnung Kunden"],
    ["Ann's timezone is Europe/Zurich", "which time zone"],
    ["The Postgres password is rotated monthly", "postgress passwort"],
    ["Übergabe am Freitag", "wann sind ÜBERGABEN"],
    ["The meeting room has tea and coffee", "rooms for meetings"],
    ["Autovacuum is off", "autovacuum is OFF!"]
  ])("has texts close that share forms or parts of words: %s | %s", (memory, question) => {
    expect(distance(memory, question)).toBeLessThan(NEAR)
  })

  it.each([
    ["The warehouse in Lyon closes at six", "Rechnung Kunden"],
    ["Reports are due on the first of the month", "what is the weather like today"],
    ["The meeting room has tea and coffee", "who is responsible for the budget of the marketing team this year"],
    ["Ann drives a car", "automobile"],
    ["Anything", ""]
  ])("has others apart, and knows no synonyms: %s | %s", (memory, question) => {
    expect(distance(memory, question)).toBeGreaterThan(NEAR)
  })

  it("is the same for ever, since vectors are kept", () => {
    const vector = vectorOf("Ann prefers green tea")
    expect(vector).toHaveLength(512)
    expect(Math.hypot(...vector)).toBeCloseTo(1, 10)
    const text = JSON.stringify(vector.map((value) => Math.round(value * 1e6)))
    expect(createHash("sha256").update(text).digest("hex")).toBe(
      "c84f091de57297f2fbd1e232ce1e3ecf31db3a5c26ac2503eb992e31ee64e6d3"
    )
  })
})
