import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { check, readText, sourcesOf } from "../tools/workflow-lint.ts"

const root = join(import.meta.dirname, "..")

const head = `import { Clock, Effect, Random } from "effect"
import { readFile } from "node:fs/promises"
import * as help from "./help.ts"
import { digest } from "./help.ts"
`
const workflow = (body: string, extra = "") =>
  `${head}${extra}
export const layer = order.toLayer((payload, steps) => Effect.gen(function* () {
  const plan = yield* steps.plan(Effect.promise(() => fetch("https://example.com/" + Math.random() + Date.now())))
  ${body}
  return plan
}), { onCancelled: () => Effect.sync(() => console.log(Date.now())) })`

const help = `import { randomUUID } from "node:crypto"
export const digest = (text: string) => text + randomUUID()
export const later = () => inner()
const inner = () => new Date()
export const fine = (date: string) => new Date(date)
export const unused = () => Math.random()`

const told = (text: string) =>
  check(["/w/Live.ts"], (path) => ({ "/w/Live.ts": text, "/w/help.ts": help })[path]).map(({ what }) => what)

describe("the lint of workflow code", () => {
  it.each([
    ["the clock", "if (Date.now() > 5) yield* steps.complete(x)", "Date.now"],
    ["a Date of now", "const year = new Date().getUTCFullYear()", "new Date()"],
    ["Effect's clock", "const now = yield* Clock.currentTimeMillis", "Clock.currentTimeMillis"],
    ["chance in a key", 'yield* steps.tool("nth-" + Math.random(), fetch(x))', "Math.random"],
    ["Effect's chance", "const n = yield* Random.next", "Random.next"],
    ["the environment", 'if (process.env["A"] === "b") yield* steps.complete(x)', "process.env"],
    ["the network", 'yield* Effect.promise(() => fetch("https://example.com"))', "fetch"],
    ["a file", 'yield* Effect.promise(() => readFile("a"))', "readFile of node:fs/promises"],
    ["a wait in memory", 'yield* Effect.sleep("1 minute")', "Effect.sleep"],
    ["a helper's chance", "const id = digest(payload.id)", "randomUUID of node:crypto"],
    ["a helper's helper's clock", "const at = help.later()", "new Date()"]
  ])("finds %s", (_what, body, what) => {
    expect(told(workflow(body))).toEqual([what])
  })

  it.each([
    ["what steps do, and what happens at the end of a cancelled run", ""],
    ["a date that comes from the payload", "const at = help.fine(payload.at)"],
    ["members and keys that are called like a global", "const a = { fetch: 1, process: plan.fetch }; a.process"]
  ])("passes %s", (_what, body) => {
    expect(told(workflow(body))).toEqual([])
  })

  it("finds what the key of a workflow depends on", () => {
    const keyed = (key: string) => `${head}export const order = declare({ name: "Order", idempotencyKey: ${key} })`
    expect(told(keyed("({ id }) => id"))).toEqual([])
    expect(told(keyed("({ id }) => id + crypto.randomUUID()"))).toEqual(["crypto.randomUUID"])
  })

  it("passes this release's workflows, and would not pass them with a clock in one", () => {
    const files = sourcesOf(root)
    expect(check(files, readText)).toEqual([])
    const live = files.filter((path) => path.endsWith("AgentWorkflowLive.ts"))
    expect(live).toHaveLength(2)
    for (const path of live) {
      const with_ = (find: string, put: string) =>
        check(files, (each) => (each === path ? readText(each)!.replace(find, put) : readText(each)))
      expect(with_("const run: RunKey", "const at = Date.now()\n    const run: RunKey")).toHaveLength(1)
    }
    const ending = files.find((path) => path.endsWith("agent/ending.ts"))
    const inEnding = (path: string) => readText(path)?.replace("left === 0 ?", "Math.random() < 0.5 ?")
    expect(check(files, (path) => (path === ending ? inEnding(path) : readText(path)))).toHaveLength(1)
  })
})
