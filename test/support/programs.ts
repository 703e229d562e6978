/**
 * Small workflows that are made up by a generator, and one workflow that carries any of them out. What was done, and how it
 * ended, is noted outside of the engine: two engines that do as they should leave the same notes.
 */
import { Activity, DurableClock, DurableDeferred, Workflow } from "@effect/workflow"
import type { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { Cause, Effect, Exit, type Layer, Option, Schedule, Schema } from "effect"
import * as FastCheck from "effect/FastCheck"

export type Op =
  | { readonly op: "step"; readonly ends: "ok" | "fail" | "die" | "cut" }
  | { readonly op: "retry"; readonly failures: number; readonly times: number }
  | { readonly op: "await"; readonly ends: "ok" | "fail" }
  | { readonly op: "await-inside" }
  | { readonly op: "sleep"; readonly durable: boolean }
  | { readonly op: "compensated" }
  | { readonly op: "race" }
  | { readonly op: "try"; readonly body: Program }
  | { readonly op: "both"; readonly one: Program; readonly other: Program }
  | { readonly op: "child"; readonly program: Program }
export type Program = ReadonlyArray<Op>

const leaf: FastCheck.Arbitrary<Op> = FastCheck.oneof(
  { weight: 4, arbitrary: FastCheck.constant<Op>({ op: "step", ends: "ok" }) },
  {
    weight: 2,
    arbitrary: FastCheck.record({
      op: FastCheck.constant("step" as const),
      ends: FastCheck.constantFrom("fail" as const, "die" as const, "cut" as const)
    })
  },
  {
    weight: 2,
    arbitrary: FastCheck.record({
      op: FastCheck.constant("retry" as const),
      failures: FastCheck.integer({ min: 0, max: 3 }),
      times: FastCheck.integer({ min: 0, max: 2 })
    })
  },
  {
    weight: 2,
    arbitrary: FastCheck.record({
      op: FastCheck.constant("await" as const),
      ends: FastCheck.constantFrom("ok" as const, "ok" as const, "fail" as const)
    })
  },
  { weight: 1, arbitrary: FastCheck.constant<Op>({ op: "await-inside" }) },
  {
    weight: 1,
    arbitrary: FastCheck.record({ op: FastCheck.constant("sleep" as const), durable: FastCheck.boolean() })
  },
  { weight: 1, arbitrary: FastCheck.constant<Op>({ op: "compensated" }) },
  { weight: 1, arbitrary: FastCheck.constant<Op>({ op: "race" }) }
)

const programOf = (op: FastCheck.Arbitrary<Op>, maxLength: number): FastCheck.Arbitrary<Program> =>
  FastCheck.array(op, { minLength: 1, maxLength })

const inner = programOf(leaf, 3)
export const anyProgram: FastCheck.Arbitrary<Program> = programOf(
  FastCheck.oneof(
    { weight: 5, arbitrary: leaf },
    { weight: 1, arbitrary: FastCheck.record({ op: FastCheck.constant("try" as const), body: inner }) },
    { weight: 1, arbitrary: FastCheck.record({ op: FastCheck.constant("both" as const), one: inner, other: inner }) },
    { weight: 1, arbitrary: FastCheck.record({ op: FastCheck.constant("child" as const), program: inner }) }
  ),
  5
)

const Answer = DurableDeferred.make("unused", { success: Schema.String, error: Schema.String })
const deferred = (name: string) =>
  DurableDeferred.make(name, { success: Answer.successSchema, error: Answer.errorSchema })

export const Generated = Workflow.make({
  name: "Generated",
  payload: { key: Schema.String, program: Schema.String },
  success: Schema.Array(Schema.String),
  error: Schema.String,
  idempotencyKey: ({ key }) => key,
  suspendedRetrySchedule: Schedule.spaced("200 millis")
})

/** What bodies did, by the key of the execution, and which deferreds wait for an answer. */
export class Notes {
  readonly done = new Map<string, Array<string>>()
  readonly waiting = new Map<string, { readonly executionId: string; readonly name: string; readonly ends: string }>()

  /** One that suspends begins again as often as its execution is woken, which is a matter of time: noted `once`. */
  note(key: string, what: string, once: boolean) {
    const all = this.done.get(key) ?? []
    this.done.set(key, all)
    if (once && all.includes(what)) return
    all.push(what)
  }
}

type Part = Effect.Effect<
  ReadonlyArray<string>,
  string,
  WorkflowEngine | WorkflowInstance | Workflow.Execution<"Generated">
>

export const carriedOut = (notes: Notes): Layer.Layer<never, never, WorkflowEngine> =>
  Generated.toLayer(({ key, program }, executionId) => {
    const step = (
      name: string,
      execute: Effect.Effect<string, string, WorkflowEngine | WorkflowInstance>,
      suspends = false
    ): Effect.Effect<string, string, WorkflowEngine | WorkflowInstance> =>
      Activity.make({
        name,
        success: Schema.String,
        error: Schema.String,
        interruptRetryPolicy: Schedule.recurs(1),
        execute: Effect.zipRight(
          Effect.map(Activity.CurrentAttempt, (attempt) => notes.note(key, `${name}/${attempt}`, suspends)),
          execute
        )
      })
    const answer = (name: string, ends: string) =>
      Effect.suspend(() => {
        notes.waiting.set(`${executionId}/${name}`, { executionId, name, ends })
        return DurableDeferred.await(deferred(name))
      })

    const part = (op: Op, at: string): Part => {
      switch (op.op) {
        case "step": {
          const ends = {
            ok: Effect.succeed(`done ${at}`),
            fail: Effect.fail(`failed ${at}`),
            die: Effect.die(new Error(`died ${at}`)),
            cut: Effect.interrupt
          }
          return Effect.map(step(at, ends[op.ends]), (one) => [one])
        }
        case "retry":
          return step(
            at,
            Effect.flatMap(Activity.CurrentAttempt, (attempt) =>
              attempt <= op.failures ? Effect.fail(`failed ${at} in ${attempt}`) : Effect.succeed(`done in ${attempt}`)
            )
          ).pipe(
            Activity.retry({ times: op.times }),
            Effect.map((one) => [one])
          )
        case "await":
          return Effect.map(answer(at, op.ends), (one) => [one])
        case "await-inside":
          return Effect.map(step(at, answer(`${at}.answer`, "ok"), true), (one) => [one])
        case "sleep":
          return Effect.as(
            DurableClock.sleep({
              name: at,
              duration: "5 millis",
              ...(op.durable ? { inMemoryThreshold: "1 millis" } : {})
            }),
            [`slept ${at}`]
          )
        case "compensated":
          return step(at, Effect.succeed(`done ${at}`)).pipe(
            Generated.withCompensation((value) => Effect.ignore(step(`${at}.undo`, Effect.succeed(`undone ${value}`)))),
            Effect.map((one) => [one]),
            Effect.scoped
          )
        case "race":
          return Effect.map(
            Activity.raceAll(at, [
              Activity.make({ name: `${at}.quick`, success: Schema.String, execute: Effect.succeed("quick") }),
              Activity.make({ name: `${at}.never`, success: Schema.String, execute: Effect.never })
            ]),
            (one) => [one]
          ) as Part
        case "try":
          return Effect.catchAll(parts(op.body, `${at}.try`), (error) =>
            Effect.map(step(`${at}.caught`, Effect.succeed(`caught ${error}`)), (one) => [one])
          )
        case "both":
          return Effect.all(
            [Effect.exit(parts(op.one, `${at}.one`)), Effect.exit(parts(op.other, `${at}.other`))] as const,
            { concurrency: 2 }
          ).pipe(
            Effect.flatMap(([one, other]) =>
              Exit.zipWith(one, other, { onSuccess: (a, b) => [...a, ...b], onFailure: (a) => a })
            )
          )
        case "child":
          return Effect.scoped(Generated.execute({ key: `${key}/${at}`, program: JSON.stringify(op.program) }))
      }
    }
    const parts = (all: Program, prefix: string): Part =>
      Effect.map(
        Effect.forEach(all, (op, index) => part(op, `${prefix}.${index}`)),
        (results) => results.flat()
      )
    return parts(JSON.parse(program) as Program, "p")
  })

const describe = (exit: Exit.Exit<ReadonlyArray<string>, string>): string =>
  Exit.match(exit, {
    onSuccess: (all) => `success: ${all.join(", ")}`,
    onFailure: (cause) =>
      Cause.isInterruptedOnly(cause)
        ? "interrupted"
        : Option.match(Cause.failureOption(cause), {
            onSome: (error) => `failure: ${error}`,
            onNone: () => `defect: ${String(Cause.squash(cause))}`
          })
  })

/** Answers what waits, for as long as it lives. */
export const answering = (notes: Notes) =>
  Effect.suspend(() => {
    const all = [...notes.waiting]
    for (const [id] of all) notes.waiting.delete(id)
    return Effect.forEach(
      all.filter(([, { ends }]) => ends !== "never"),
      ([, { executionId, name, ends }]) => {
        const one = deferred(name)
        return DurableDeferred.done(one, {
          token: DurableDeferred.tokenFromExecutionId(one, { workflow: Generated, executionId }),
          exit: ends === "ok" ? Exit.succeed(`answer ${name}`) : Exit.fail(`refusal ${name}`)
        })
      },
      { discard: true }
    )
  }).pipe(Effect.delay("20 millis"), Effect.forever)

export interface History {
  readonly end: string
  /** What bodies ran, the execution's own and its children's; in no order, since branches run beside each other. */
  readonly done: ReadonlyArray<string>
}

/** No program takes a second; but twenty at a time share with others what is left of a busy machine. */
const PATIENCE = "100 seconds"

/** Runs a program to its end. */
export const play = (notes: Notes, key: string, program: Program): Effect.Effect<History, never, WorkflowEngine> =>
  Effect.map(
    Effect.exit(Generated.execute({ key, program: JSON.stringify(program) })).pipe(Effect.timeoutOption(PATIENCE)),
    (exit) => ({
      end: exit._tag === "None" ? "does not end" : describe(exit.value),
      done: [...notes.done]
        .filter(([of]) => of === key || of.startsWith(`${key}/`))
        .flatMap(([of, all]) => all.map((what) => `${of}: ${what}`))
        .sort()
    })
  )
