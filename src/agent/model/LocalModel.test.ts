import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc, Stream } from "effect"
import * as Directives from "./Directives.ts"
import { layer, tokensOf } from "./LocalModel.ts"
import { Model } from "./Model.ts"

const answer = (message: string, attempt = 1) =>
  Effect.flatMap(Model, (model) =>
    Stream.runCollect(model.answer({ model: "local", message, idempotencyKey: "k" }, attempt))
  ).pipe(
    Effect.map((tokens) => [...tokens]),
    Effect.provide(layer)
  )

describe("LocalModel", () => {
  it.effect("gives the same tokens for the same message, as many as it was told", () =>
    Effect.gen(function* () {
      const tokens = yield* answer("hello tokens:7")
      expect(tokens).toEqual(tokensOf("hello tokens:7"))
      expect(tokens).toHaveLength(7)
      expect(yield* answer("hello tokens:7")).toEqual(tokens)
    })
  )

  it.effect("breaks off as often as it was told, each time at the same place, and then goes on to the end", () =>
    Effect.gen(function* () {
      const failures = yield* Effect.forEach([1, 2], (attempt) => Effect.flip(answer("flaky:2", attempt)))
      expect(failures.map(({ retryable }) => retryable)).toEqual([true, true])
      expect(yield* answer("flaky:2", 3)).toEqual(tokensOf("flaky:2"))
    })
  )

  it.effect("refuses for good when it was told to fail", () =>
    Effect.gen(function* () {
      const outcome = yield* Effect.either(answer("fail"))
      expect(Either.isLeft(outcome) && outcome.left.retryable).toBe(false)
    })
  )

  it.effect("plans the calls that the message names, in order, and an approval", () =>
    Effect.gen(function* () {
      const model = yield* Model
      const plan = yield* model.plan({
        model: "local",
        message: "tool:add=1+2=3 tool:echo approve",
        idempotencyKey: "k"
      })
      expect(plan.calls).toEqual([
        { call: "1", tool: "add", input: "1+2=3" },
        { call: "2", tool: "echo", input: "" }
      ])
      expect(plan.approval).toBeTypeOf("string")
    }).pipe(Effect.provide(layer))
  )

  it("keeps every number that a message gives within its bounds", () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), fc.nat(1_000_000_000), (tokens, slow) => {
        const directives = Directives.parse(`tokens:${tokens} slow:${slow}`)
        expect(directives.tokens).toBeLessThanOrEqual(5_000)
        expect(directives.slowMillis).toBeLessThanOrEqual(10_000)
      })
    )
  })
})
