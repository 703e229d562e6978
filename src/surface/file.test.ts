import { expect, it } from "vitest"
import { drift } from "./file.ts"

it("tells a drift by place, one line each", () => {
  const file = {
    format: 1,
    events: { A: {}, B: {} },
    statements: [{ name: "s", text: "select 1" }],
    migrations: ["0001"]
  }
  const code = {
    format: 1,
    events: { B: {}, C: { type: "object" } },
    statements: [
      { name: "r", text: "select 0" },
      { name: "s", text: "select 2" }
    ],
    migrations: ["0001", "0002"]
  }
  expect(drift(file, code)).toEqual([
    "- events / A",
    '+ events / C: {"type":"object"}',
    "+ migrations / 0002: true",
    '+ statements / r: {"name":"r","text":"select 0"}',
    '~ statements / s / text: "select 1" -> "select 2"'
  ])
  expect(drift(code, code)).toEqual([])
})
