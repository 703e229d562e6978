/** The checker of `make test-chaos` is itself checked: a true history passes, and each way of breaking it is found. */
import { spawn } from "node:child_process"
import { text as textOf } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { tokensOf } from "../src/agent/model/LocalModel.ts"
import type { Event, RecordedEvent } from "../src/domain/Event.ts"
import { EventId, RunId, SessionId } from "../src/domain/Ids.ts"
import { check, type History } from "./chaos/History.ts"
import { describeFault, scenario } from "./chaos/Scenario.ts"

const MESSAGE = "hello tokens:6 tool:add=1+2 approve"
const tokens = tokensOf(MESSAGE)
const text = tokens.join("")

const told: ReadonlyArray<readonly [step: string, sequence: number, event: Event]> = [
  ["accept", 0, { _tag: "RunAccepted", message: MESSAGE, model: "local" }],
  ["model", 0, { _tag: "Token", text: tokens.slice(0, 2).join("") }],
  ["model", 1, { _tag: "Token", text: tokens.slice(2).join("") }],
  ["tool:1", 0, { _tag: "ToolCall", call: "1", tool: "add", input: "1+2" }],
  ["tool:1", 1, { _tag: "ToolResult", call: "1", tool: "add", outcome: "ok", output: "3" }],
  ["approval", 0, { _tag: "ApprovalRequested", reason: "asked" }],
  ["approval", 1, { _tag: "Approved", by: "ann" }],
  ["end", 0, { _tag: "Completed", text, inputTokens: 4, outputTokens: 6 }]
]

const record = (all: typeof told): ReadonlyArray<RecordedEvent> =>
  all.map(([step, sequence, event], index) => ({
    eventId: EventId.make(index + 1),
    sessionId: SessionId.make("s"),
    runId: RunId.make("r"),
    step,
    sequence,
    occurredAt: new Date(0),
    event
  }))

const of = (events: ReadonlyArray<RecordedEvent>, more: Partial<History> = {}): History => ({
  asked: [{ run: "r", session: "s", message: MESSAGE, acknowledged: true, cancelSent: false, approved: true }],
  runs: [{ run: "r", session: "s", execution: "x", status: "completed", finished: true }],
  recorded: { s: events },
  observed: { s: events },
  usage: [{ execution: "x", step: "model", outputTokens: 6 }],
  open: [],
  steps: [{ execution: "x", step: "model/1", writer: "127.0.0.10:50000", owner: "127.0.0.10:50000" }],
  ...more
})

const rules = (history: History) => [...new Set(check(history).map(({ rule }) => rule))].toSorted()
const at = (index: number, event: Event): ReadonlyArray<RecordedEvent> =>
  record(told.map((one, place) => (place === index ? [one[0], one[1], event] : one)))
const without = (...places: ReadonlyArray<number>) => record(told.filter((_, place) => !places.includes(place)))
const good = record(told)

it("passes a history that keeps every promise", () => {
  expect(check(of(good))).toEqual([])
})

it("passes a run that was never acknowledged and never began", () => {
  const asked = [{ run: "r", session: "s", message: "x", acknowledged: false, cancelSent: false, approved: false }]
  expect(check(of([], { asked, runs: [], recorded: {}, observed: {}, usage: [] }))).toEqual([])
})

it("passes a run that was cancelled in the middle of its answer", () => {
  const events = record([...told.slice(0, 2), ["end", 0, { _tag: "Cancelled", by: "ann" }]])
  const asked = [{ ...of([]).asked[0]!, approved: false, cancelSent: true, cancelled: "cancelled" }]
  const runs = [{ ...of([]).runs[0]!, status: "cancelled" }]
  expect(check(of(events, { asked, runs, usage: [] }))).toEqual([])
})

describe("finds", () => {
  const row = of([]).runs[0]!
  const asked = of([]).asked[0]!
  const broken: ReadonlyArray<readonly [what: string, history: History, rules: ReadonlyArray<string>]> = [
    ["an acknowledged run that is not there", of([], { runs: [], recorded: {}, observed: {} }), ["lost"]],
    [
      "a run that never ends",
      of(without(7), { runs: [{ ...row, status: "accepted", finished: false }], usage: [] }),
      ["unfinished"]
    ],
    ["a run whose row is closed without a last event", of(without(7), { usage: [] }), ["unfinished"]],
    ["two last events", of(record([...told, ["fail", 0, told[7]![2]]])), ["doubled"]],
    ["an event after the last one", of(record([...told, ["model", 2, { _tag: "Token", text: "" }]])), ["order"]],
    [
      "a piece of the answer that is told twice",
      of(record([...told.slice(0, 2), told[1]!, ...told.slice(2)])),
      ["doubled", "order", "wrong-content"]
    ],
    [
      "a piece that is told twice under another number",
      of(record([...told.slice(0, 3), ["model", 2, told[2]![2]], ...told.slice(3)])),
      ["wrong-content"]
    ],
    ["a piece that is missing", of(without(2)), ["lost"]],
    ["pieces out of order", of(record([told[0]!, told[2]!, told[1]!, ...told.slice(3)])), ["order", "wrong-content"]],
    [
      "a tool that was called twice",
      of(record([...told.slice(0, 5), ["tool:again", 0, told[3]![2]], ...told.slice(5)])),
      ["doubled", "order"]
    ],
    ["a tool result that is missing", of(without(4)), ["lost"]],
    ["an approval that nobody waited for", of(without(6)), ["lost"]],
    ["an approval before it was asked for", of(record([...told.slice(0, 5), told[6]!, told[5]!, told[7]!])), ["order"]],
    [
      "an answer that is not the pieces",
      of(at(7, { _tag: "Completed", text: "other", inputTokens: 4, outputTokens: 6 })),
      ["wrong-content"]
    ],
    [
      "another message than was asked",
      of(at(0, { _tag: "RunAccepted", message: "other", model: "local" })),
      ["wrong-content"]
    ],
    [
      "a failure that the schedule did not ask for",
      of(at(7, { _tag: "Failed", code: "internal", message: "broken" }), {
        runs: [{ ...row, status: "failed" }],
        usage: []
      }),
      ["wrong-end"]
    ],
    [
      "a row that says otherwise than its last event",
      of(good, { runs: [{ ...row, status: "failed" }] }),
      ["wrong-end"]
    ],
    [
      "an answered cancellation of a run that completed",
      of(good, { asked: [{ ...asked, cancelSent: true, cancelled: "cancelled" }] }),
      ["wrong-end"]
    ],
    ["usage that is counted twice", of(good, { usage: [...of([]).usage, ...of([]).usage] }), ["usage"]],
    ["usage that is not counted", of(good, { usage: [] }), ["usage"]],
    [
      "usage that is not what the run told",
      of(good, { usage: [{ ...of([]).usage[0]!, outputTokens: 12 }] }),
      ["usage"]
    ],
    ["a follower that missed an event", of(good, { observed: { s: without(3) } }), ["observed"]],
    [
      "a follower that got an event twice",
      of(good, { observed: { s: [...good.slice(0, 3), ...good.slice(2)] } }),
      ["order"]
    ],
    ["a follower that saw what is not recorded", of(without(3, 4), { observed: { s: good } }), ["lost", "observed"]],
    ["a run that nobody asked for", of(good, { runs: [row, { ...row, run: "other" }] }), ["wrong-content"]],
    [
      "a step that a runner recorded whose shard was another's",
      of(good, { steps: [{ execution: "x", step: "model/1", writer: "127.0.0.10:50000", owner: "127.0.0.11:50000" }] }),
      ["owner"]
    ],
    [
      "a step on a shard that nobody took",
      of(good, { steps: [{ execution: "x", step: "model/1", writer: "127.0.0.10:50000", owner: null }] }),
      ["owner"]
    ],
    ["an execution that the engine still holds", of(good, { open: [{ execution: "x", what: "run" }] }), ["engine"]]
  ]
  it.each(broken)("%s", (_, history, wanted) => {
    expect(rules(history)).toEqual(wanted)
  })
})

it("draws the same schedule from the same seed, and every kind of fault from many", () => {
  expect(scenario(7, 3)).toEqual(scenario(7, 3))
  expect(scenario(7, 3)).not.toEqual(scenario(8, 3))
  const faults = Array.from({ length: 200 }, (_, seed) => scenario(seed, 3)).flatMap(({ faults }) => faults)
  expect([...new Set(faults.map(({ kind }) => kind))].toSorted()).toEqual([
    "cut-database",
    "cut-locks",
    "cut-network",
    "freeze",
    "kill",
    "lose-answers",
    "power-cut",
    "restart-database",
    "roll"
  ])
  expect(faults.some((fault) => describeFault(fault).includes("back at once"))).toBe(true)
})

it("is played by a program of its own, outside of the test runner", async () => {
  // It once imported what only works inside of it, and `make test-chaos` ended before its first schedule.
  const play = spawn(process.execPath, [fileURLToPath(new URL("./chaos/run.ts", import.meta.url))], {
    env: { ...process.env, SEED: "", SCHEDULES: "0" },
    stdio: ["ignore", "pipe", "inherit"]
  })
  const printed = await textOf(play.stdout)
  expect(printed).toContain("0 schedules, no promise broken")
})
