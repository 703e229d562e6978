import { describe, expect, it } from "@effect/vitest"
import { Activity, WorkflowEngine } from "@effect/workflow"
import { Effect, Exit, Layer, Ref, Schema } from "effect"
import { activityName, declare, declaredName } from "./Declaration.ts"
import { Handover } from "./Handover.ts"
import { carries } from "./registry.ts"

class Broken extends Schema.TaggedError<Broken>()("Broken", { retryable: Schema.Boolean }) {}

const example = declare({
  name: "Example",
  payload: Schema.Struct({ id: Schema.String }),
  success: Schema.String,
  error: Broken,
  idempotencyKey: ({ id }) => id,
  activities: {
    first: { name: "First", success: Schema.String, error: Broken },
    each: { name: "Each", success: Schema.Number, error: Broken, keyed: true }
  }
})

const nothing = { onCancelled: () => Effect.void }

describe("Declaration", () => {
  it.live("gives a handler its steps, keyed ones by key", () =>
    Effect.gen(function* () {
      const ran = yield* Ref.make<ReadonlyArray<string>>([])
      const note = (what: string) => Ref.update(ran, (all) => [...all, what])
      const layer = example.toLayer(
        ({ id }, steps) =>
          Effect.gen(function* () {
            const one = yield* steps.first(Effect.as(note("first"), `hello ${id}`))
            const sum =
              (yield* steps.each("a", Effect.as(note("a"), 1))) + (yield* steps.each("b", Effect.as(note("b"), 2)))
            return `${one} ${sum}`
          }),
        nothing
      )
      const result = yield* example.workflow
        .execute({ id: "x" })
        .pipe(Effect.provide(Layer.provideMerge(layer, WorkflowEngine.layerMemory)))
      expect(result).toBe("hello x 3")
      expect(yield* Ref.get(ran)).toEqual(["first", "a", "b"])
    })
  )

  it.live("tries a failure again that says so, three times, and no other", () =>
    Effect.gen(function* () {
      const run = (retryable: boolean) =>
        Effect.gen(function* () {
          const attempts = yield* Ref.make<ReadonlyArray<number>>([])
          const layer = example.toLayer(
            (_, steps) =>
              steps.first(
                Activity.CurrentAttempt.pipe(
                  Effect.tap((attempt) => Ref.update(attempts, (all) => [...all, attempt])),
                  Effect.andThen(Effect.fail(new Broken({ retryable })))
                )
              ),
            nothing
          )
          const exit = yield* example.workflow
            .execute({ id: `retry-${retryable}` })
            .pipe(Effect.provide(Layer.provideMerge(layer, WorkflowEngine.layerMemory)), Effect.exit)
          expect(Exit.isFailure(exit)).toBe(true)
          return yield* Ref.get(attempts)
        })
      expect(yield* run(true)).toEqual([1, 2, 3, 4])
      expect(yield* run(false)).toEqual([1])
    })
  )

  it.live("begins no step of an execution that is leaving", () =>
    Effect.gen(function* () {
      const begun = yield* Ref.make(0)
      const layer = example.toLayer(
        (_, steps) =>
          steps.first(
            Effect.as(
              Ref.update(begun, (count) => count + 1),
              "never"
            )
          ),
        nothing
      )
      const exit = yield* example.workflow
        .execute({ id: "leaving" })
        .pipe(
          Effect.provide(
            layer.pipe(
              Layer.provideMerge(WorkflowEngine.layerMemory),
              Layer.provide(Layer.succeed(Handover, { leaving: () => Effect.succeed(true) }))
            )
          ),
          Effect.exit
        )
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect(yield* Ref.get(begun)).toBe(0)
    })
  )

  it("does not let a handler use a durable part that is not declared", () => {
    const undeclared = Activity.make({ name: "Undeclared", success: Schema.String, execute: Effect.succeed("") })
    // @ts-expect-error the declaration does not list it
    const layer = example.toLayer(() => undeclared, nothing)
    // @ts-expect-error the declared schema says string
    const wrong = example.toLayer((_, steps) => steps.first(Effect.succeed(1)), nothing)
    expect([layer, wrong]).toHaveLength(2)
  })

  it("refuses two steps of one name", () => {
    expect(() =>
      declare({
        name: "Twice",
        payload: Schema.Struct({}),
        success: Schema.Void,
        error: Schema.Never,
        idempotencyKey: () => "",
        activities: { step: { name: "Step", success: Schema.Void, error: Schema.Never } },
        clocks: { step: { name: "Wait" } }
      })
    ).toThrow("two steps")
  })

  it("finds the declared name behind a keyed one", () => {
    expect(activityName(example.activities.each, "7")).toBe("Each#7")
    expect(declaredName("Each#7")).toBe("Each")
    expect(declaredName("First")).toBe("First")
  })

  it("lists what a runner carries, keyed activities as a pattern", () => {
    expect(carries.workflows["AgentWorkflow"]?.activities).toContain("CallTool#*")
    expect(carries.entities).toEqual({ Agent: ["Ask", "Cancel", "Approve", "Status"] })
  })
})
