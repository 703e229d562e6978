import { describe, expect, it } from "@effect/vitest"
import type { State } from "../Releases.ts"
import { demands, isMomentary, witnesses } from "./Proof.ts"

const statement = (text: string, name = "s", probe?: ReadonlyArray<unknown>) =>
  probe === undefined ? { name, text } : { name, text, probe }
const record = (release: string, state: State) => ({ release, state, statements: [statement("select 1")] })

describe("witnesses", () => {
  it.each([
    ["nobody on an empty database", [], [], []],
    [
      "every release that is not retired",
      [record("a", "retired"), record("b", "rollback-choice"), record("c", "deployed"), record("d", "deploying")],
      [],
      ["b: rollback choice", "c: deployed", "d: deploying"]
    ],
    ["not this release itself", [record("self", "deploying"), record("c", "deployed")], [], ["c: deployed"]],
    ["a retired release that lives", [record("a", "retired")], [{ release: "a", runners: 2 }], ["a: 2 live runner(s)"]],
    ["both at once", [record("c", "deployed")], [{ release: "c", runners: 1 }], ["c: deployed, 1 live runner(s)"]]
  ])("are %s", (_, records, live, expected) => {
    const result = witnesses(records, live, "self")
    expect(result.witnesses.map(({ release, standing }) => `${release}: ${standing}`)).toEqual(expected)
    expect(result.unknown).toEqual([])
  })

  it("name live releases without a record, and not this one, which is about to be recorded", () => {
    const live = [
      { release: "stranger", runners: 1 },
      { release: "self", runners: 1 }
    ]
    expect(witnesses([], live, "self").unknown).toEqual([{ release: "stranger", runners: 1 }])
  })
})

describe("demands", () => {
  it("are each text once, with everyone who needs it", () => {
    const result = demands([
      { release: "a", standing: "deployed", statements: [statement("select 1;", "x"), statement("select 2", "y")] },
      { release: "b", standing: "deploying", statements: [statement("select 1", "z")] }
    ])
    expect(
      result.demands.map(({ text, needers }) => [text, needers.map(({ release, name }) => release + name)])
    ).toEqual([
      ["select 1", ["ax", "bz"]],
      ["select 2", ["ay"]]
    ])
  })

  it("keep different sample values apart: they may fail differently", () => {
    const insert = "insert into t values ($1)"
    const result = demands([
      { release: "a", standing: "deployed", statements: [statement(insert, "x", [1]), statement(insert, "y", [2])] }
    ])
    expect(result.demands.map(({ probe }) => probe)).toEqual([[1], [2]])
  })

  it("leave out and count what can't be prepared", () => {
    const result = demands([{ release: "a", standing: "deployed", statements: [statement("listen events")] }])
    expect(result).toEqual({ demands: [], unprovable: 1 })
  })
})

it.each([
  ["55P03", true],
  ["57014", true],
  ["57P01", true],
  ["40P01", true],
  ["ECONNRESET", true],
  ["", true],
  ["42703", false],
  ["42P01", false],
  ["23502", false],
  ["42501", false]
])("%s speaks of the moment and not of the schema: %s", (code, expected) => {
  expect(isMomentary(code)).toBe(expected)
})
