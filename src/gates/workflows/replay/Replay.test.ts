import { describe, expect, it } from "@effect/vitest"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { order, orderOptions } from "../../../../test/support/open-work.ts"
import { type AnyDeclaration, declare } from "../../../agent/Declaration.ts"
import type { BegunActivity, Execution } from "../OpenWork.ts"
import * as Forbidden from "./Forbidden.ts"
import * as Replay from "./Replay.ts"
import { replayRules } from "./Rules.ts"

const nothing = { onCancelled: () => Effect.void }
const never = Effect.die("a replay carries nothing out")

const done = (name: string, value: unknown = undefined, attempt = 1): BegunActivity => ({
  name,
  attempt,
  reply: {
    _tag: "value",
    value: { _tag: "Success", value: { _tag: "Complete", exit: { _tag: "Success", value } } }
  }
})
const failed = (name: string, error: unknown, attempt = 1): BegunActivity => ({
  name,
  attempt,
  reply: {
    _tag: "value",
    value: {
      _tag: "Success",
      value: { _tag: "Complete", exit: { _tag: "Failure", cause: { _tag: "Fail", error } } }
    }
  }
})
const begun = (name: string, attempt = 1): BegunActivity => ({ name, attempt, reply: undefined })

const planned = [done("Plan", { steps: 2 }), done("Tool#first", "done")]

const execution = (change: Partial<Execution> = {}): Execution => ({
  workflow: "Order",
  executionId: "e1",
  shardId: "default:1",
  state: "suspended",
  diedOf: undefined,
  startedAt: 0,
  answeredAt: 0,
  payload: { _tag: "value", value: { tenant: "acme", id: "a", wait: "both" } },
  activities: planned,
  deferreds: [],
  clocks: [],
  damaged: [],
  ...change
})

type Options = typeof orderOptions
type Function = (
  ...given: Parameters<Parameters<typeof order.toLayer<never>>[0]>
) => Effect.Effect<{ readonly total: number }, { readonly reason: string }>
const carriedOut =
  (body: Function, declaration = order) =>
  (): { readonly layer: Layer.Layer<never, never, WorkflowEngine>; readonly declaration: AnyDeclaration } => ({
    layer: declaration.toLayer(body, nothing),
    declaration
  })

const honest = carriedOut((payload, steps) =>
  Effect.gen(function* () {
    const { steps: total } = yield* steps.plan(never)
    yield* steps.tool("first", never)
    if (payload.wait !== "clock") yield* steps.approval
    if (payload.wait !== "approval") yield* steps.cooldown("1 hour")
    yield* steps.complete(never)
    return { total }
  })
)

const judged = (subject: ReturnType<typeof honest>, of: Execution) =>
  Effect.gen(function* () {
    const replayer = yield* Replay.make(subject.layer)
    const result = yield* replayer.replay(of, subject.declaration)
    const problems = replayRules.flatMap((rule) => rule.judge(result!, of, subject.declaration, undefined))
    return {
      result: result!,
      told: problems.map(({ severity, rule, subject }) => `${severity} ${rule} ${subject}`),
      problems
    }
  }).pipe(Effect.scoped)

const approved = { name: "Approval", exit: { _tag: "Success", value: { by: "alice" } } }
const rung = { name: "DurableClock/Cooldown", exit: { _tag: "Success" } }

describe("replay of executions that the same code left open", () => {
  const states: ReadonlyArray<readonly [string, Execution, string]> = [
    ["not begun", execution({ activities: [], state: "running" }), "waiting"],
    ["in its first activity", execution({ activities: [begun("Plan")], state: "running" }), "waiting"],
    ["between two activities", execution({ activities: [planned[0]!], state: "running" }), "waiting"],
    ["in a keyed activity", execution({ activities: [planned[0]!, begun("Tool#first")] }), "waiting"],
    ["waiting for an answer", execution(), "waiting"],
    ["answered", execution({ deferreds: [approved], state: "running" }), "waiting"],
    ["asleep", execution({ deferreds: [approved], clocks: [{ name: "Cooldown" }] }), "waiting"],
    ["awake", execution({ deferreds: [approved, rung], state: "running" }), "waiting"],
    [
      "done but for its own result",
      execution({ deferreds: [approved, rung], activities: [...planned, done("Complete")], state: "running" }),
      "completed"
    ],
    [
      "cancelled while it waits",
      execution({ deferreds: [{ name: "Workflow/InterruptSignal", exit: { _tag: "Success" } }] }),
      "waiting"
    ]
  ]
  it.live.each(states)("passes one that is %s", ([_name, of, end]) =>
    Effect.gen(function* () {
      const { result, told } = yield* judged(honest(), of)
      expect(told).toEqual([])
      expect(result.first.end).toBe(end)
    })
  )

  const Retry = Schema.Struct({ retryable: Schema.Boolean })
  const retrying = (retries?: number) => {
    const declaration = declare({
      ...orderOptions,
      activities: {
        ...orderOptions.activities,
        plan: { ...orderOptions.activities.plan, error: Retry, ...(retries === undefined ? {} : { retries }) }
      }
    } as unknown as Options)
    return carriedOut(
      (_payload, steps) =>
        Effect.gen(function* () {
          const plan = yield* steps.plan(never)
          yield* steps.tool("first", never)
          yield* steps.complete(never)
          return { total: plan.steps }
        }) as never,
      declaration
    )()
  }
  const tried = [
    failed("Plan", { retryable: true }),
    failed("Plan", { retryable: true }, 2),
    done("Plan", { steps: 1 }, 3),
    begun("Tool#first")
  ]

  it.live("passes one that needed three attempts, and refuses a release that would give up before", () =>
    Effect.gen(function* () {
      expect((yield* judged(retrying(), execution({ activities: tried }))).told).toEqual([])
      expect((yield* judged(retrying(1), execution({ activities: tried }))).told).toEqual([
        "hazard replay-never-asked Order / activity Plan",
        "undecided replay-never-asked Order / activity Tool"
      ])
    })
  )

  it.live("passes branches that run side by side, one of them at its frontier", () =>
    Effect.gen(function* () {
      const subject = carriedOut((_payload, steps) =>
        Effect.gen(function* () {
          yield* Effect.all(
            [
              steps.approval,
              Effect.gen(function* () {
                yield* steps.plan(never)
                for (const key of ["a", "b", "c", "d"]) yield* steps.tool(key, never)
              })
            ],
            { concurrency: "unbounded" }
          )
          return { total: 1 }
        })
      )
      const activities = [planned[0]!, ...["a", "b", "c", "d"].map((key) => done(`Tool#${key}`, "x"))]
      expect((yield* judged(subject(), execution({ activities }))).told).toEqual([])
    })
  )
})

class Ledger extends Context.Tag("test/Ledger")<Ledger, { readonly total: () => number }>() {}

describe("replay of executions that other code left open", () => {
  const bodies: ReadonlyArray<readonly [string, Function, ReadonlyArray<string>]> = [
    [
      "that asks for another activity in the place of a recorded one",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.tool("plan", never)
          yield* steps.tool("first", never)
          yield* steps.approval
          return { total: 1 }
        }),
      ["hazard replay-never-asked Order / activity Plan"]
    ],
    [
      "that no longer asks for a recorded activity",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.tool("first", never)
          yield* steps.approval
          return { total: 1 }
        }),
      ["undecided replay-never-asked Order / activity Plan"]
    ],
    [
      "that puts an activity before recorded ones",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.complete(never)
          yield* steps.plan(never)
          yield* steps.tool("first", never)
          yield* steps.approval
          return { total: 1 }
        }),
      ["hazard replay-inserted Order / activity Complete"]
    ],
    [
      "that waits for a person before recorded work",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.approval
          yield* steps.tool("first", never)
          return { total: 1 }
        }),
      ["hazard replay-inserted Order / deferred Approval"]
    ],
    [
      "that sleeps before recorded work",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.cooldown("1 hour")
          yield* steps.tool("first", never)
          return { total: 1 }
        }),
      ["hazard replay-inserted Order / clock Cooldown"]
    ],
    [
      "that uses one name twice",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.tool("first", never)
          yield* steps.plan(never)
          return { total: 1 }
        }),
      ["hazard replay-asked-twice Order / activity Plan"]
    ],
    [
      "that goes by the time of day",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.tool("first", never)
          if ((yield* Clock.currentTimeMillis) > Date.UTC(2031, 11, 1)) yield* steps.complete(never)
          yield* steps.approval
          return { total: 1 }
        }),
      ["hazard replay-non-deterministic Order"]
    ],
    [
      "that goes by the year of a Date",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.tool("first", never)
          if (new Date().getUTCFullYear() % 2 === 0) yield* steps.complete(never)
          yield* steps.approval
          return { total: 1 }
        }),
      ["hazard replay-non-deterministic Order"]
    ],
    [
      "that goes by chance",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.tool("first", never)
          yield* steps.tool(`try-${Math.random()}`, never)
          return { total: 1 }
        }),
      ["hazard replay-non-deterministic Order"]
    ],
    [
      "that sleeps in memory",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* Effect.sleep("1 minute")
          yield* steps.tool("first", never)
          return { total: 1 }
        }),
      ["undecided replay-unfinished Order"]
    ],
    [
      "that never comes to rest",
      (_payload, steps) => steps.plan(never).pipe(Effect.andThen(Effect.forever(Effect.void))),
      ["hazard replay-unfinished Order"]
    ],
    [
      "that fetches outside of an activity",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.tool("first", never)
          yield* Effect.promise(() => fetch("https://example.com"))
          return { total: 1 }
        }),
      ["hazard replay-outside Order / fetch", "undecided replay-unfinished Order"]
    ],
    [
      "that goes by the environment",
      (_payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          yield* steps.tool("first", never)
          if (process.env["ORDERS_ARE_FINAL"] === "yes") yield* steps.complete(never)
          yield* steps.approval
          return { total: 1 }
        }),
      ["hazard replay-outside Order / process.env.ORDERS_ARE_FINAL"]
    ]
  ]
  it.live.each(bodies)("speaks up about code %s", ([_name, body, expected]) =>
    Effect.gen(function* () {
      expect((yield* judged(carriedOut(body)(), execution())).told).toEqual(expected)
    })
  )

  it.live("refuses code that uses a service outside of an activity, and passes one that does so within", () =>
    Effect.gen(function* () {
      const using = (within: boolean) => ({
        declaration: order,
        layer: order
          .toLayer(
            (_payload, steps) =>
              Effect.gen(function* () {
                const ledger = yield* Ledger
                const plan = yield* steps.plan(Effect.sync(() => ({ steps: ledger.total() })))
                yield* steps.tool("first", never)
                if (!within) ledger.total()
                yield* steps.approval
                return { total: plan.steps }
              }),
            nothing
          )
          .pipe(Layer.provide(Forbidden.layer(Ledger)))
      })
      expect((yield* judged(using(true), execution())).told).toEqual([])
      expect((yield* judged(using(false), execution())).told).toEqual(["hazard replay-outside Order / Ledger.total"])
    })
  )

  it.live("replays twice what asked for time or chance, and of the rest the first ones and a sample", () =>
    Effect.gen(function* () {
      const { layer, declaration } = carriedOut((payload, steps) =>
        Effect.gen(function* () {
          yield* steps.plan(never)
          if (payload.wait === "clock") yield* Effect.sync(() => performance.now())
          yield* steps.tool("first", never)
          yield* steps.approval
          return { total: 1 }
        })
      )()
      const replayer = yield* Replay.make(layer)
      const twice = (n: number, wait: string) =>
        replayer
          .replay(
            execution({ executionId: `e${n}`, payload: { _tag: "value", value: { tenant: "acme", id: "a", wait } } }),
            declaration
          )
          .pipe(Effect.map((replayed) => replayed!.first !== replayed!.second))
      const plain: Array<boolean> = []
      for (let n = 0; n < 240; n++) plain.push(yield* twice(n, "approval"))
      expect(plain.slice(0, 200).every(Boolean)).toBe(true)
      expect(plain.slice(200).filter(Boolean)).toHaveLength(2)
      for (let n = 241; n < 256; n++) expect(yield* twice(n, "clock")).toBe(true)
    }).pipe(Effect.scoped)
  )

  it.live("leaves nothing behind: a thousand replays, no fiber more", () =>
    Effect.gen(function* () {
      const subject = honest()
      const replayer = yield* Replay.make(subject.layer)
      const started = performance.now()
      for (let i = 0; i < 1_000; i++) {
        yield* replayer.replay(execution({ executionId: `e${i}` }), subject.declaration)
      }
      expect(performance.now() - started).toBeLessThan(20_000)
      console.log(`1000 replays ${(performance.now() - started).toFixed(0)} ms`)
      expect(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length).toBeLessThan(50)
    }).pipe(Effect.scoped)
  )
})
