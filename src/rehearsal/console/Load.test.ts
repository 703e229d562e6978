import { describe, expect, it } from "@effect/vitest"
import { countsOf, next } from "./Load.ts"

const text = (codes: Readonly<Record<string, number>>) =>
  [
    "# TYPE agents_gateway_requests_total counter",
    ...Object.entries(codes).map(([code, count]) => `agents_gateway_requests_total{code="${code}"} ${count}`),
    'agents_tool_calls_total{tool="add",outcome="ok"} 7'
  ].join("\n")

const of = (pods: Readonly<Record<string, Readonly<Record<string, number>>>>) =>
  Object.entries(pods).map(([pod, codes]) => ({ pod, text: text(codes) }))

describe("the load of a target", () => {
  it("tells answers, refusals and failures apart, and reads nothing else", () => {
    expect(countsOf(text({ 101: 1, 202: 2, 404: 4, 429: 8, 500: 16, 503: 32 }))).toEqual({
      answered: 7,
      refused: 8,
      failed: 48
    })
    expect(countsOf("")).toEqual({ answered: 0, refused: 0, failed: 0 })
  })

  it("gives rates of all gateways together, and none for what was counted before it looked", () => {
    const first = next(undefined, 0, of({ a: { 200: 1_000 }, b: { 200: 500 } }))
    expect(first.points).toEqual([])
    const second = next(first, 5_000, of({ a: { 200: 1_010, 429: 5 }, b: { 200: 540, 503: 10 } }))
    expect(second.points).toEqual([
      { at: "1970-01-01T00:00:05.000Z", gateways: 2, answered: 10, refused: 1, failed: 2 }
    ])
  })

  it("counts a gateway that began anew from zero, and one that was silent from where it was", () => {
    const first = next(undefined, 0, of({ a: { 200: 100 }, b: { 200: 100 } }))
    const restarted = next(first, 5_000, of({ a: { 200: 20 }, c: { 200: 5 } }))
    expect(restarted.points.at(-1)).toMatchObject({ gateways: 2, answered: 5 })
    const back = next(restarted, 10_000, of({ a: { 200: 20 }, b: { 200: 110 } }))
    expect(back.points.at(-1)).toMatchObject({ gateways: 2, answered: 2 })
  })

  it("says that no gateway answers, and keeps ten minutes", () => {
    let memory = next(undefined, 0, [])
    for (let n = 1; n < 500; n++) memory = next(memory, n * 5_000, [])
    expect(memory.points.length).toBe(120)
    expect(memory.points.at(-1)).toMatchObject({ gateways: 0, answered: 0 })
  })
})
