import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, Either, FastCheck as fc, Schema } from "effect"
import { misfits } from "./Fits.ts"
import { canonicalText, shapeOf } from "./Shape.ts"

type AnySchema = Schema.Schema.AnyNoContext

const verdict = (writer: Schema.Schema.All, reader: Schema.Schema.All) => {
  const issues = misfits(shapeOf(writer), shapeOf(reader))
  return issues.some((issue) => issue.verdict === "refuse") ? "refuse" : issues.length > 0 ? "undecided" : "fits"
}

interface Node {
  readonly value: number
  readonly next: ReadonlyArray<Node>
}
const Tree: Schema.Schema<Node> = Schema.Struct({
  value: Schema.Number,
  next: Schema.Array(Schema.suspend(() => Tree))
})
interface Leaf {
  readonly value: string
  readonly next: ReadonlyArray<Leaf>
}
const OtherTree: Schema.Schema<Leaf> = Schema.Struct({
  value: Schema.String,
  next: Schema.Array(Schema.suspend(() => OtherTree))
})
class Before extends Schema.TaggedError<Before>()("Broken", { reason: Schema.String }) {}
class After extends Schema.TaggedError<After>()("Broken", { reason: Schema.String, code: Schema.Number }) {}

const S = Schema
const base = S.Struct({ a: S.String })

describe("misfits", () => {
  it.each([
    ["the same schema", base, base, "fits"],
    ["a new optional field", base, S.Struct({ a: S.String, b: S.optional(S.Number) }), "fits"],
    [
      "a new field with a default",
      base,
      S.Struct({ a: S.String, b: S.optionalWith(S.Number, { default: () => 1 }) }),
      "fits"
    ],
    ["a new required field", base, S.Struct({ a: S.String, b: S.Number }), "refuse"],
    ["a field that may be undefined", S.Struct({ a: S.UndefinedOr(S.String) }), base, "refuse"],
    ["a field no longer read", S.Struct({ a: S.String, b: S.Number }), base, "fits"],
    ["a renamed field", base, S.Struct({ b: S.String }), "refuse"],
    ["another type", base, S.Struct({ a: S.Number }), "refuse"],
    ["one literal more to read", S.Literal("x"), S.Literal("x", "y"), "fits"],
    ["one literal fewer to read", S.Literal("x", "y"), S.Literal("x"), "refuse"],
    ["a tag without other changes", S.String, S.String.annotations({ title: "Prompt" }), "fits"],
    ["a brand", S.String, S.String.pipe(S.brand("RunId")), "fits"],
    ["a tighter minimum length", S.String, S.NonEmptyString, "refuse"],
    ["a looser minimum length", S.NonEmptyString, S.String, "fits"],
    ["another pattern", S.String, S.String.pipe(S.pattern(/^a/)), "undecided"],
    ["a filter of one's own", S.String, S.String.pipe(S.filter((s) => s.length > 1)), "undecided"],
    ["text to be read as a number", S.String, S.NumberFromString, "undecided"],
    ["a number written as text", S.NumberFromString, S.String, "fits"],
    ["a date that stays a date", S.Struct({ at: S.Date }), S.Struct({ at: S.Date, by: S.optional(S.String) }), "fits"],
    ["a value that is not JSON", S.Struct({ at: S.DateFromSelf }), S.Struct({ at: S.String }), "undecided"],
    ["recursion, same", Tree, S.Union(Tree, S.Null), "fits"],
    ["recursion, other leaves", Tree, OtherTree, "refuse"],
    ["an error with one field more", Before, After, "refuse"],
    ["an error with one field fewer", After, Before, "fits"],
    ["a tagged union with one member more", Before, S.Union(Before, S.TaggedStruct("Other", {})), "fits"],
    [
      "a tagged union split by its tag",
      S.Struct({ _tag: S.Literal("x", "y") }),
      S.Union(S.TaggedStruct("x", {}), S.TaggedStruct("y", {})),
      "fits"
    ],
    ["never fails, now may", S.Never, Before, "fits"],
    ["may fail, now never", Before, S.Never, "refuse"],
    ["nothing recorded, text expected", S.Void, S.String, "refuse"],
    ["a tuple with one element more", S.Tuple(S.String), S.Tuple(S.String, S.Number), "refuse"],
    ["an array read as a tuple", S.Array(S.String), S.Tuple(S.String), "refuse"],
    ["a struct read as a record", base, S.Record({ key: S.String, value: S.String }), "fits"],
    ["a record read as a struct", S.Record({ key: S.String, value: S.String }), base, "refuse"],
    ["whole numbers only", S.Number, S.Int, "refuse"],
    ["a wider range", S.Number.pipe(S.between(1, 5)), S.Number.pipe(S.between(0, 5)), "fits"],
    ["a narrower range", S.Number.pipe(S.between(0, 5)), S.Number.pipe(S.between(1, 5)), "refuse"]
  ] as ReadonlyArray<[string, Schema.Schema.All, Schema.Schema.All, string]>)("%s", (_, writer, reader, expected) => {
    expect(verdict(writer, reader)).toBe(expected)
  })

  it("names the place and the reason", () => {
    const issues = misfits(
      shapeOf(S.Struct({ tools: S.Array(S.Struct({ name: S.String })) })),
      shapeOf(S.Struct({ tools: S.Array(S.Struct({ name: S.String, limit: S.Number })) }))
    )
    expect(issues).toEqual([{ verdict: "refuse", path: ".tools[].limit", why: "it is required, and never written" }])
  })
})

describe("shapeOf", () => {
  it("gives the same bytes whatever the order of fields and members", () => {
    const one = S.Struct({ b: S.Literal("x", "y"), a: S.Union(S.Number, S.Null) })
    const two = S.Struct({ a: S.Union(S.Null, S.Number), b: S.Union(S.Literal("y"), S.Literal("x")) })
    expect(canonicalText(shapeOf(one))).toBe(canonicalText(shapeOf(two)))
  })

  it("says that it can't tell, with the reason, and never throws", () => {
    expect(shapeOf(S.Struct({ bytes: S.Uint8ArrayFromSelf })).properties?.["bytes"]?.undecided).toContain("not JSON")
    expect(shapeOf(S.BigIntFromSelf).undecided).toContain("not JSON")
  })
})

/** A description of a schema, so that an edit can be made to it. */
type Plan =
  | { readonly of: "leaf"; readonly name: keyof typeof leaves }
  | {
      readonly of: "struct"
      readonly fields: ReadonlyArray<{ readonly name: string; readonly optional: boolean; readonly plan: Plan }>
    }
  | { readonly of: "array" | "record" | "nullable"; readonly plan: Plan }
  | { readonly of: "union"; readonly plans: ReadonlyArray<Plan> }

const leaves = {
  string: S.String,
  nonEmpty: S.NonEmptyString,
  short: S.String.pipe(S.maxLength(3)),
  number: S.JsonNumber,
  int: S.Int,
  small: S.JsonNumber.pipe(S.between(0, 5)),
  boolean: S.Boolean,
  yes: S.Literal(true),
  a: S.Literal("a"),
  ab: S.Literal("a", "b"),
  one: S.Literal(1, "a", null),
  numberText: S.NumberFromString,
  date: S.Date,
  unknown: S.Unknown,
  void: S.Undefined
}

const build = (plan: Plan): AnySchema => {
  switch (plan.of) {
    case "leaf":
      return leaves[plan.name]
    case "struct":
      return S.Struct(
        Object.fromEntries(
          plan.fields.map(({ name, optional, plan }) => [name, optional ? S.optional(build(plan)) : build(plan)])
        )
      ) as AnySchema
    case "array":
      return S.Array(build(plan.plan))
    case "record":
      return S.Record({ key: S.String, value: build(plan.plan) })
    case "nullable":
      return S.NullOr(build(plan.plan))
    case "union":
      return S.Union(...plan.plans.map(build))
  }
}

const leaf = fc
  .constantFrom(...(Object.keys(leaves) as Array<keyof typeof leaves>))
  .map((name): Plan => ({ of: "leaf", name }))

const { plan } = fc.letrec<{ plan: Plan }>((tie) => ({
  plan: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc
      .uniqueArray(fc.record({ name: fc.constantFrom("a", "b", "c"), optional: fc.boolean(), plan: tie("plan") }), {
        selector: (field) => field.name,
        maxLength: 3
      })
      .map((fields): Plan => ({ of: "struct", fields })),
    tie("plan").map((plan): Plan => ({ of: "array", plan })),
    tie("plan").map((plan): Plan => ({ of: "record", plan })),
    tie("plan").map((plan): Plan => ({ of: "nullable", plan })),
    fc.array(tie("plan"), { minLength: 1, maxLength: 3 }).map((plans): Plan => ({ of: "union", plans }))
  )
}))

/** One edit somewhere in the plan, as a developer makes them. */
const edit = (at: Plan, random: () => number, fresh: Plan): Plan => {
  const pick = Math.floor(random() * 6)
  const deeper = (plan: Plan) => edit(plan, random, fresh)
  switch (pick) {
    case 0:
      return fresh
    case 1:
      return { of: "union", plans: [at, fresh] }
    case 2:
      return { of: "nullable", plan: at }
  }
  switch (at.of) {
    case "leaf":
      return pick === 3
        ? { of: "leaf", name: Object.keys(leaves)[Math.floor(random() * 15)] as keyof typeof leaves }
        : at
    case "struct": {
      const [first, ...rest] = at.fields
      if (first === undefined || pick === 3) {
        const name = ["a", "b", "c", "d"].find((name) => at.fields.every((field) => field.name !== name))!
        return { of: "struct", fields: [...at.fields, { name, optional: random() < 0.7, plan: fresh }] }
      }
      if (pick === 4) return { of: "struct", fields: [{ ...first, optional: !first.optional }, ...rest] }
      return random() < 0.3
        ? { of: "struct", fields: rest }
        : { of: "struct", fields: [{ ...first, plan: deeper(first.plan) }, ...rest] }
    }
    case "union":
      return pick === 3 && at.plans.length > 1
        ? { of: "union", plans: at.plans.slice(1) }
        : { of: "union", plans: at.plans.map((plan, i) => (i === 0 ? deeper(plan) : plan)) }
    default:
      return { of: at.of, plan: deeper(at.plan) }
  }
}

/** What a value becomes by being stored: `undefined` when nothing is left of it. */
const stored = (value: unknown): unknown => {
  const text = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}

it("calls a change compatible only if every value the old schema encodes decodes with the new one", () => {
  const seen = { fits: 0, refuse: 0, undecided: 0, values: 0, witnessed: 0 }
  fc.assert(
    fc.property(
      plan,
      plan,
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 20, maxLength: 20 }),
      fc.integer(),
      (old, fresh, numbers, seed) => {
        let next = 0
        const random = () => numbers[next++ % numbers.length]!
        const writer = build(old)
        const reader = build(edit(old, random, fresh))
        const said = verdict(writer, reader)
        seen[said]++
        const encode = Schema.encodeUnknownEither(writer)
        const readBack = Schema.decodeUnknownEither(writer)
        const decode = Schema.decodeUnknownEither(reader)
        let witness = false
        for (const value of fc.sample(Arbitrary.make(writer), { numRuns: 12, seed })) {
          const encoded = encode(value)
          if (Either.isLeft(encoded)) continue
          const row = stored(encoded.right)
          // What its own release can't read back (an invalid date, undefined in an array) says nothing about the other.
          if (Either.isLeft(readBack(row))) continue
          seen.values++
          if (Either.isLeft(decode(row))) {
            witness = true
            if (said === "fits") {
              throw new Error(
                `said to fit, but ${JSON.stringify(row)} of ${String(writer)} is not read by ${String(reader)}`
              )
            }
          }
        }
        if (said === "refuse" && witness) seen.witnessed++
      }
    ),
    { numRuns: 1500, seed: 20261122 }
  )
  // Not vacuous: all verdicts occur, values were tried, and most refusals were seen to be true.
  expect(seen.fits).toBeGreaterThan(200)
  expect(seen.refuse).toBeGreaterThan(100)
  expect(seen.undecided).toBeGreaterThan(20)
  expect(seen.values).toBeGreaterThan(5_000)
  expect(seen.witnessed / seen.refuse).toBeGreaterThan(0.6)
})
