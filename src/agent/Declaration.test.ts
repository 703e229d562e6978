import { ClusterWorkflowEngine, TestRunner } from "@effect/cluster"
import { PersistedQueue } from "@effect/experimental"
import { describe, expect, it } from "@effect/vitest"
import { Activity, DurableQueue, WorkflowEngine } from "@effect/workflow"
import { Effect, Exit, Layer, Ref, Schema } from "effect"
import { activityName, declare, declaredName, queueOf } from "./Declaration.ts"
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

const Checks = DurableQueue.make({
  name: "Checks",
  payload: { page: Schema.Number },
  success: Schema.String,
  error: Broken,
  idempotencyKey: ({ page }) => String(page)
})

const checked = declare({
  name: "Checked",
  payload: Schema.Struct({ id: Schema.String }),
  success: Schema.String,
  error: Broken,
  idempotencyKey: ({ id }) => id,
  activities: { first: { name: "First", success: Schema.String, error: Broken } },
  queues: { check: Checks }
})

const cluster = Layer.provideMerge(ClusterWorkflowEngine.layer, TestRunner.layer)
const store = Layer.provideMerge(PersistedQueue.layer, PersistedQueue.layerStoreMemory)

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

  it.live("hands items of a queue to its workers, and goes on with their answers", () =>
    Effect.gen(function* () {
      const worked = yield* Ref.make<ReadonlyArray<number>>([])
      const worker = DurableQueue.worker(checked.queues.check, ({ page }) =>
        Ref.update(worked, (all) => [...all, page]).pipe(
          Effect.andThen(page < 3 ? Effect.succeed(`page ${page}`) : Effect.fail(new Broken({ retryable: false })))
        )
      )
      const layer = checked.toLayer(
        (_, steps) =>
          Effect.gen(function* () {
            const one = yield* steps.check({ page: 1 })
            // The same item is the same piece of work.
            const again = yield* steps.check({ page: 1 })
            const two = yield* steps.check({ page: 2 })
            const three = yield* Effect.catchAll(steps.check({ page: 3 }), ({ _tag }) => Effect.succeed(_tag))
            return [one, again, two, three].join()
          }),
        nothing
      )
      const result = yield* checked.workflow.execute({ id: "x" }).pipe(
        Effect.provide(
          // Not `WorkflowEngine.layerMemory`: it misses an answer that comes before the execution waits for it.
          Layer.merge(layer, worker).pipe(Layer.provideMerge(cluster), Layer.provide(store))
        )
      )
      expect(result).toBe("page 1,page 1,page 2,Broken")
      expect(yield* Ref.get(worked)).toEqual([1, 2, 3])
    })
  )

  it("does not let a handler use a queue that is not declared, nor another item than it declares", () => {
    // @ts-expect-error the declaration does not list it
    const layer = example.toLayer(() => DurableQueue.process(Checks, { page: 1 }), nothing)
    // @ts-expect-error it does not even where another one is listed: not around `steps`
    const around = checked.toLayer(() => DurableQueue.process(Checks, { page: 1 }), nothing)
    // @ts-expect-error the declared schema says number
    const wrong = checked.toLayer((_, steps) => steps.check({ page: "one" }), nothing)
    expect([layer, around, wrong]).toHaveLength(3)
  })

  it("finds the queue behind the name of an answer", () => {
    expect(queueOf("DurableQueue/Checks/0ab1")).toBe("Checks")
    expect(queueOf("DurableQueue/a/b/0ab1")).toBe("a/b")
    expect(queueOf("Approval")).toBeUndefined()
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
