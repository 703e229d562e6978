import { expect, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import { until } from "../../test/support/wait.ts"
import type { RecordedEvent } from "../domain/Event.ts"
import { EventLog, type RunKey } from "../domain/EventLog.ts"
import { EventId, RunId, SessionId, TenantId } from "../domain/Ids.ts"
import { Model, ModelError } from "./model/Model.ts"
import { accountForSeen, callModel, plan, undoTool } from "./steps.ts"
import { Tools } from "./tools/Tools.ts"

const run: RunKey = {
  tenantId: TenantId.make("t"),
  sessionId: SessionId.make("s"),
  runId: RunId.make("r"),
  executionId: "x"
}
const payload = { ...run, message: "hello", model: "local" }

/** Keeps the promise of `append` on a list: a key that is taken stays as it is. */
const log = (
  rows: Array<RecordedEvent>,
  { used = [], openFor = Number.POSITIVE_INFINITY }: { readonly used?: Array<object>; readonly openFor?: number } = {}
): Layer.Layer<EventLog> =>
  Layer.succeed(EventLog, {
    append: (key, entries) =>
      Effect.sync(() => {
        if (rows.length >= openFor) return { open: false, written: 0 }
        const fresh = entries.filter(
          (entry) => !rows.some((row) => row.step === entry.step && row.sequence === entry.sequence)
        )
        for (const entry of fresh)
          rows.push({ ...key, ...entry, eventId: EventId.make(rows.length + 1), occurredAt: new Date(0) })
        return { open: true, written: fresh.length }
      }),
    ofStep: (_, step) => Effect.sync(() => rows.filter((row) => row.step === step)),
    accept: () => Effect.dieMessage("not asked for"),
    run: () => Effect.dieMessage("not asked for"),
    recordUsage: (_, usage) => Effect.sync(() => void used.push(usage)),
    settleUsage: () => Effect.dieMessage("not asked for")
  })

/** Answers with `tokens`; before the one at `at` it waits for the latch. */
const model = (tokens: ReadonlyArray<string>, at: number, latch: Effect.Latch): Layer.Layer<Model> =>
  Layer.succeed(Model, {
    countTokens: () => tokens.length,
    plan: () => Effect.succeed({ calls: [] }),
    answer: () =>
      Stream.fromIterable(tokens).pipe(
        Stream.rechunk(1),
        Stream.zipWithIndex,
        Stream.mapEffect(([token, index]) => (index === at ? Effect.as(latch.await, token) : Effect.succeed(token)))
      )
  })

const tokens = Array.from({ length: 60 }, (_, index) => `${index} `)
const text = (rows: ReadonlyArray<RecordedEvent>) =>
  rows.map(({ event }) => (event._tag === "Token" ? event.text : "")).join("")

it.live.each([1, 5, 17, 31, 59])(
  "writes the answer once when a runner that froze before token %d wakes up after its successor",
  (frozenAt) =>
    Effect.gen(function* () {
      const rows: Array<RecordedEvent> = []
      const [asleep, awake] = yield* Effect.all([Effect.makeLatch(false), Effect.makeLatch(true)])
      const step = callModel(run, payload)
      const stale = yield* step.pipe(Effect.provide([log(rows), model(tokens, frozenAt, asleep)]), Effect.fork)
      yield* until(
        "the first row",
        Effect.sync(() => rows.length),
        (count) => count > 0
      )
      // The successor's rows are cut elsewhere: it began in the middle of the text.
      const answer = yield* step.pipe(Effect.provide([log(rows), model(tokens, 3, awake)]))
      const after = rows.length
      yield* asleep.open
      expect((yield* Fiber.join(stale)).text).toBe(tokens.join(""))
      expect(answer.text).toBe(tokens.join(""))
      expect(text(rows)).toBe(tokens.join(""))
      expect(rows).toHaveLength(after)
    })
)

it.live("writes the answer once when two runners are at work on it at the same time", () =>
  Effect.gen(function* () {
    const rows: Array<RecordedEvent> = []
    const open = yield* Effect.makeLatch(true)
    const one = callModel(run, payload).pipe(Effect.provide([log(rows), model(tokens, 0, open)]))
    yield* Effect.all([one, one, one], { concurrency: "unbounded" })
    expect(text(rows)).toBe(tokens.join(""))
    expect(rows.map(({ sequence }) => sequence)).toEqual(rows.map((_, index) => index))
  })
)

it.live(
  "accounts for an answer in its own step, to the model that gave it, and for the part of one whose run is cancelled meanwhile",
  () =>
    Effect.gen(function* () {
      const open = yield* Effect.makeLatch(true)
      const counting = Layer.map(model(tokens, 0, open), (context) =>
        Context.make(Model, {
          ...Context.get(context, Model),
          countTokens: (text) => text.split(" ").length - 1,
          answer: (request, attempt) => {
            request.onAnswering?.("the-other")
            return Context.get(context, Model).answer(request, attempt)
          }
        })
      )
      const used: Array<object> = []
      const asked = { ...payload, message: "two words " }
      yield* callModel(run, asked, "follow-up").pipe(Effect.provide([log([], { used }), counting]))
      expect(used).toEqual([{ step: "follow-up", model: "the-other", inputTokens: 2, outputTokens: tokens.length }])

      const partly: Array<{ readonly outputTokens?: number }> = []
      const cut = callModel(run, asked).pipe(Effect.provide([log([], { used: partly, openFor: 1 }), counting]))
      expect(yield* Effect.flip(cut)).toMatchObject({ code: "cancelled", retryable: false })
      expect(partly).toHaveLength(1)
      expect(partly[0]?.outputTokens).toBeGreaterThan(0)
      expect(partly[0]?.outputTokens).toBeLessThan(tokens.length)
    })
)

it.live("accounts for the plan, and for an answer as the provider counts it, or as far as it came", () =>
  Effect.gen(function* () {
    const used: Array<object> = []
    const rows: Array<RecordedEvent> = []
    const request = { ...payload, message: "two words " }
    const billed = { model: "large", inputTokens: 300, outputTokens: 40 }
    const asking = (answer: Model["Type"]["answer"]): Layer.Layer<Model> =>
      Layer.succeed(Model, {
        countTokens: (text) => text.split(" ").length - 1,
        plan: ({ onUsed }) => Effect.sync(() => onUsed?.(billed)).pipe(Effect.as({ calls: [] })),
        answer
      })
    // A row holds 16 of them. The others were being gathered for the next one.
    const broken = new ModelError({ message: "cut", retryable: true })
    const breaksOff = asking(() =>
      Stream.concat(Stream.fromIterable(tokens.slice(0, 20)).pipe(Stream.rechunk(1)), Stream.fail(broken))
    )
    const goesOn = asking(({ written, onUsed }) =>
      Stream.make(written ?? "", "end ").pipe(Stream.ensuring(Effect.sync(() => onUsed?.(billed))))
    )
    const on = (model: Layer.Layer<Model>) => Effect.provide([log(rows, { used }), model])
    yield* on(goesOn)(plan(run, request))
    expect(used.splice(0)).toEqual([{ step: "plan", ...billed }])
    expect(yield* Effect.flip(on(breaksOff)(callModel(run, request)))).toMatchObject({ code: "model-failed" })
    expect(used.splice(0)).toEqual([{ step: "model", model: request.model, inputTokens: 2, outputTokens: 20 }])
    // What the first attempt wrote, and what the provider counts of the second.
    expect(yield* on(goesOn)(callModel(run, request))).toMatchObject({
      text: `${tokens.slice(0, 16).join("")}end `,
      outputTokens: 56
    })
    expect(used.splice(0)).toEqual([{ step: "model", ...billed, model: request.model, outputTokens: 56 }])
    // Its runner is gone, and its run was cancelled.
    yield* on(breaksOff)(accountForSeen(run, request))
    expect(used).toEqual([{ step: "model", model: request.model, inputTokens: 2, outputTokens: 17 }])
  })
)

it.effect("takes a call back once, and asks for another try until it could be", () =>
  Effect.gen(function* () {
    const rows: Array<RecordedEvent> = []
    const keys: Array<string> = []
    const tools = Layer.succeed(Tools, {
      call: () => Effect.dieMessage("not asked for"),
      undo: (_tenant, { tool }, output, key) =>
        tool !== "hold"
          ? undefined
          : Effect.sync(() =>
              keys.push(key) === 1
                ? { outcome: "failed" as const, output: "busy" }
                : { outcome: "ok" as const, output: `without ${output}` }
            )
    })
    const undo = (tool: string) =>
      undoTool(run, { call: "1", tool, input: "x" }, "x held").pipe(Effect.provide([log(rows), tools]))
    yield* undo("add")
    expect(rows).toEqual([])
    expect(yield* Effect.flip(undo("hold"))).toMatchObject({ code: "tool-failed", retryable: true, message: "busy" })
    yield* undo("hold")
    yield* undo("hold")
    // The one key under which the outside knows it, whoever asks.
    expect(keys).toEqual(["x/undo:1", "x/undo:1"])
    expect(rows.map(({ step, sequence, event }) => [step, sequence, event._tag])).toEqual([
      ["undo:1", 0, "ToolCall"],
      ["undo:1", 1, "ToolResult"]
    ])
  })
)
