/**
 * Changes of workflows and of their code, as `deliver gate workflows` judges them with executions open.
 *
 * The executions are written down here as the gate reads them from the database; that the engine really leaves them so is
 * tested beside the gate.
 */
import { DurableDeferred } from "@effect/workflow"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Clock, Context, Effect, Either, Layer, Random, Schema, Stream } from "effect"
import { declare } from "../../src/agent/Declaration.ts"
import { verdictOf } from "../../src/gates/Evidence.ts"
import { judge } from "../../src/gates/workflows/Gate.ts"
import { type Execution, type OpenCall, OpenWork, type Stored } from "../../src/gates/workflows/OpenWork.ts"
import * as Forbidden from "../../src/gates/workflows/replay/Forbidden.ts"
import * as Replay from "../../src/gates/workflows/replay/Replay.ts"
import { shardNumber } from "../../src/gates/workflows/rules/Shard.ts"
import type { AnyDeclaration, AnyEntity } from "../../src/surface/Declared.ts"
import { extract, identify } from "../../src/surface/extract.ts"
import { orderOptions } from "../support/open-work.ts"
import { type Entry, saidBy } from "./Entry.ts"

// biome-ignore lint/suspicious/noExplicitAny: an edit takes a declaration and its code apart as a developer would
type Loose = any

const { activities } = orderOptions
const edited = (change: object): Loose => declare({ ...orderOptions, ...change } as typeof orderOptions)
const never = Effect.die("a replay carries nothing out")

const value = (json: unknown): Stored => ({ _tag: "value", value: json })
const exitReply = (exit: unknown) => value({ _tag: "Success", value: { _tag: "Complete", exit } })
const done = (name: string, result?: unknown, attempt = 1) => ({
  name,
  attempt,
  reply: exitReply({ _tag: "Success", value: result })
})
const failed = (name: string, error: unknown, attempt = 1) => ({
  name,
  attempt,
  reply: exitReply({ _tag: "Failure", cause: { _tag: "Fail", error } })
})
const approved = { name: "Approval", exit: { _tag: "Success", value: { by: "alice" } } }
const rung = { name: "DurableClock/Cooldown", exit: { _tag: "Success" } }

const payload = { tenant: "acme", id: "a", wait: "both" }
/** Planned, the first tool called; it waits for its approval. */
const waiting = { activities: [done("Plan", { steps: 2 }), done("Tool#first", "done")] }
const asleep = { ...waiting, deferreds: [approved], clocks: [{ name: "Cooldown" }] }
const awake = { ...waiting, deferreds: [approved, rung] }

type Step = Effect.Effect<unknown, unknown, Loose>
type Body = (payload: Loose, steps: Loose) => Effect.Effect<Loose, Loose, Loose>

/** The code as it is, whatever of its steps is left. */
const code: Body = (given, steps) =>
  Effect.gen(function* () {
    const plan = steps.plan === undefined ? { steps: 1 } : yield* steps.plan(never)
    if (steps.tool !== undefined) yield* steps.tool("first", never)
    if (given.wait !== "clock" && steps.approval !== undefined) yield* steps.approval
    if (given.wait !== "approval" && steps.cooldown !== undefined) yield* steps.cooldown("1 hour")
    yield* steps.complete(never)
    return { total: plan.steps }
  })

interface Change {
  /** Of the declaration; undefined: it is gone. */
  readonly declared?: object | undefined
  readonly code?: Body
  readonly open?: Partial<Execution>
  readonly call?: Partial<OpenCall>
  readonly entities?: ReadonlyArray<AnyEntity>
  readonly also?: ReadonlyArray<AnyDeclaration>
  readonly shardsPerGroup?: number
  readonly groups?: ReadonlyArray<string>
  /** The release before is recorded, and lives. */
  readonly beside?: true
  readonly handlers?: "none"
  readonly undecided?: true
}

class Ledger extends Context.Tag("hazards/Ledger")<Ledger, { readonly total: () => number }>() {}

const Desk: AnyEntity = {
  type: "Desk",
  protocol: { requests: new Map([["Call", { payloadSchema: Schema.Struct({ text: Schema.String }) }]]) }
} as Loose

const surfaceOf = (declarations: ReadonlyArray<AnyDeclaration>, shardsPerGroup = 300, groups = ["default"]) =>
  extract({
    declarations,
    entities: [],
    events: Schema.TaggedStruct("Opened", {}),
    statements: [],
    sharding: { groups, shardsPerGroup },
    migrations: []
  })

const entry = (title: string, expect: string | null, change: Change): Entry => ({
  gate: "workflows",
  title,
  expect,
  ...(change.undecided === undefined ? {} : { undecided: change.undecided }),
  judge: Effect.gen(function* () {
    const before: AnyDeclaration = edited({})
    const { executionId } = yield* identify(before, payload).pipe(Effect.orDieWith((why) => new Error(why)))
    const execution: Execution = {
      workflow: "Order",
      executionId,
      shardId: `default:${shardNumber(executionId, 300)}`,
      state: "suspended",
      diedOf: undefined,
      payload: value(payload),
      deferreds: [],
      clocks: [],
      damaged: [],
      ...waiting,
      ...change.open
    }
    const call: OpenCall = {
      entityType: "Desk",
      entityId: "desk-7",
      tag: "Call",
      shardId: "default:1",
      payload: value({ text: "hi" }),
      ...change.call
    }
    const own = "declared" in change && change.declared === undefined ? [] : [edited(change.declared ?? {})]
    const declarations: ReadonlyArray<AnyDeclaration> = [...own, ...(change.also ?? [])]
    const handlers: Layer.Layer<never, never, WorkflowEngine | Ledger> = Layer.mergeAll(
      Layer.empty,
      ...(change.handlers === "none"
        ? []
        : own.map((each) => each.toLayer(change.code ?? code, { onCancelled: () => Effect.void })))
    ) as Loose
    const replayer = yield* Replay.make(handlers.pipe(Layer.provide(Forbidden.layer(Ledger))))
    const surface = yield* surfaceOf(declarations, change.shardsPerGroup, [...(change.groups ?? ["default"])])
    const others =
      change.beside === undefined
        ? undefined
        : [
            {
              release: "before",
              state: "deployed" as const,
              liveRunners: 2,
              surface: Either.right(yield* surfaceOf([before]))
            }
          ]
    const { findings } = yield* judge({
      release: "after",
      surface,
      declarations,
      entities: change.entities ?? [Desk],
      others,
      replayer
    }).pipe(
      Effect.provideService(OpenWork, {
        exists: Effect.succeed(true),
        executions: Stream.make(execution),
        calls: change.call === undefined ? Stream.empty : Stream.make(call)
      }),
      Effect.orDie
    )
    return saidBy(verdictOf(findings), findings)
  })
})

const struct = (field: string, schema: Schema.Schema.AnyNoContext) => Schema.Struct({ [field]: schema })
const withActivity = (name: keyof typeof activities, change: object) => ({
  activities: { ...activities, [name]: { ...activities[name], ...change } }
})
const { plan: _plan, ...withoutPlan } = activities
const approvalOf = (schema: Schema.Schema.AnyNoContext, name = "Approval") => ({
  deferreds: { approval: DurableDeferred.make(name, { success: schema }) }
})

const first = (steps: Loose): Step => Effect.andThen(steps.plan(never) as Step, steps.tool("first", never) as Step)
/** After what is recorded: what differs there is the code's own business. */
const then =
  (rest: (steps: Loose, given: Loose) => Effect.Effect<unknown, unknown, Loose>): Body =>
  (given, steps) =>
    first(steps).pipe(Effect.zipRight(rest(steps, given)), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))

const Retryable = Schema.Struct({ retryable: Schema.Boolean })
const tries = [
  failed("Plan", { retryable: true }),
  failed("Plan", { retryable: true }, 2),
  done("Plan", { steps: 1 }, 3)
]

export const workflowEntries: ReadonlyArray<Entry> = [
  entry("a workflow is removed while executions wait", "this release does not declare it", { declared: undefined }),
  entry("a workflow is renamed while executions wait", "this release does not declare it", {
    declared: { name: "Purchase" }
  }),
  entry("no one registers the workflow's code any more", "registers no handler for it", { handlers: "none" }),
  entry("an activity is renamed after it ran", "are past activity Plan", {
    declared: withActivity("plan", { name: "MakePlan" })
  }),
  entry("an activity is removed after it ran", "activity Plan", {
    declared: { activities: withoutPlan },
    beside: true,
    undecided: true
  }),
  entry("a keyed activity loses its key", "activity Tool", { declared: withActivity("tool", { keyed: false }) }),
  entry("a result of an activity gets another type", "Recorded results of activity Plan can't be read", {
    declared: withActivity("plan", { success: struct("steps", Schema.Array(Schema.String)) })
  }),
  entry("a result of an activity asks for more than was recorded", "Recorded results of activity Plan can't be read", {
    declared: withActivity("plan", { success: Schema.Struct({ steps: Schema.Number, cost: Schema.Number }) })
  }),
  entry("a result's field is renamed", "Recorded results of activity Plan can't be read", {
    declared: withActivity("plan", { success: struct("count", Schema.Number) })
  }),
  entry("a result is held to a bound that recorded ones exceed", "Recorded results of activity Plan can't be read", {
    declared: withActivity("plan", { success: struct("steps", Schema.Number.pipe(Schema.lessThan(2))) })
  }),
  entry("an error of an activity changes after it failed", "Recorded results of activity Plan can't be read", {
    declared: withActivity("plan", { error: Schema.Struct({ code: Schema.String }) }),
    open: { activities: [failed("Plan", { reason: "no" })] }
  }),
  entry("a deferred is renamed after it was answered", "have an answer to deferred Approval", {
    declared: approvalOf(struct("by", Schema.String), "Consent"),
    open: awake
  }),
  entry("a deferred is renamed while executions wait for it", "Deferred Approval of Order", {
    declared: approvalOf(struct("by", Schema.String), "Consent"),
    beside: true
  }),
  entry("an answer's form changes after it was given", "Answers recorded for deferred Approval can't be read", {
    declared: approvalOf(Schema.Struct({ by: Schema.String, reason: Schema.String })),
    open: { deferreds: [approved] }
  }),
  entry("a clock is renamed while it runs", "sleep on clock Cooldown", {
    declared: { clocks: { cooldown: { name: "Pause" } } },
    open: asleep
  }),
  entry("a clock is renamed after it rang", "have slept on clock Cooldown", {
    declared: { clocks: { cooldown: { name: "Pause" } } },
    open: awake
  }),
  entry("a payload asks for one more field", "Payloads of open executions of Order can't be read", {
    declared: { payload: Schema.Struct({ ...orderOptions.payload.fields, model: Schema.String }) }
  }),
  entry("a payload's choice is taken away", "Payloads of open executions of Order can't be read", {
    declared: {
      payload: Schema.Struct({ ...orderOptions.payload.fields, wait: Schema.Literal("approval", "clock") })
    }
  }),
  entry("the idempotency key loses the tenant", "does not give open executions their ids", {
    declared: { idempotencyKey: (order: { readonly id: string }) => order.id }
  }),
  entry("the workflow moves to another shard group", "live in shard group default", {
    declared: { shardGroup: () => "enterprise" },
    groups: ["default", "enterprise"]
  }),
  entry("there are fewer shards", "does not look for them", { shardsPerGroup: 100 }),
  entry("the shard group of open executions is dropped", "which this release does not have", {
    groups: ["enterprise"]
  }),
  entry("an RPC is removed while a call of it waits", "Desk.Call", { entities: [], call: {} }),
  entry("an RPC asks for more than a waiting call has", "Desk.Call", {
    entities: [
      {
        type: "Desk",
        protocol: { requests: new Map([["Call", { payloadSchema: Schema.Struct({ to: Schema.String }) }]]) }
      } as Loose
    ],
    call: {}
  }),
  entry("a payload in the database is cut short", "is damaged", {
    open: { payload: { _tag: "damaged", why: "Unexpected end of JSON input" } },
    undecided: true
  }),
  entry("a recorded result is cut short", "is damaged", {
    open: { activities: [{ name: "Plan", attempt: 1, reply: { _tag: "damaged", why: "Unexpected end" } }] },
    undecided: true
  }),
  entry("a part of an execution is no JSON", "damaged", {
    open: { damaged: ["a part (activity): Unexpected end of JSON input"] },
    undecided: true
  }),
  entry("the old release can't read what the new one's workflow answers", "can't read the success", {
    declared: { success: struct("sum", Schema.Number) },
    beside: true
  }),

  entry("the code does something else in the place of recorded work", "it begins Tool instead", {
    code: (_given, steps) =>
      steps
        .tool("plan", never)
        .pipe(Effect.zipRight(steps.tool("first", never)), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
  }),
  entry("the key of a keyed activity is made otherwise", "never asks for it", {
    code: (_given, steps) =>
      steps
        .plan(never)
        .pipe(Effect.zipRight(steps.tool("tool-1", never)), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
  }),
  entry("the code passes recorded work over", "the code of this release never asks for it", {
    code: (_given, steps) => steps.tool("first", never).pipe(Effect.zipRight(steps.approval), Effect.as({ total: 1 })),
    undecided: true
  }),
  entry("a branch is turned round, and recorded work is in the other one", "it begins Complete instead", {
    code: (given, steps) =>
      ((given.wait === "both" ? steps.complete(never) : first(steps)) as Step).pipe(
        Effect.zipRight(steps.approval),
        Effect.as({ total: 1 })
      )
  }),
  entry("a step is put before recorded ones", "asks for activity Complete before activity Plan", {
    code: (_given, steps) =>
      steps
        .complete(never)
        .pipe(Effect.zipRight(first(steps)), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
  }),
  entry("a person is asked before recorded work", "asks for deferred Approval before activity Tool", {
    code: (_given, steps) =>
      steps
        .plan(never)
        .pipe(Effect.zipRight(steps.approval), Effect.zipRight(steps.tool("first", never)), Effect.as({ total: 1 }))
  }),
  entry("a sleep is put before recorded work", "asks for clock Cooldown before activity Tool", {
    code: (_given, steps) =>
      steps
        .plan(never)
        .pipe(
          Effect.zipRight(steps.cooldown("1 hour")),
          Effect.zipRight(steps.tool("first", never)),
          Effect.as({ total: 1 })
        )
  }),
  entry("a step is used twice under one name", "asks for activity Plan twice", {
    code: then((steps) => steps.plan(never))
  }),
  entry("the retries are cut below those that were used", "gives up before it", {
    declared: withActivity("plan", { error: Retryable, retries: 1 }),
    open: { activities: tries }
  }),
  entry("the code goes by the time", "asks for different things", {
    code: then((steps) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        now > Date.UTC(2031, 11, 1) ? steps.complete(never) : Effect.void
      )
    )
  }),
  entry("the code goes by the hour of a Date", "asks for different things", {
    code: then((steps) => (new Date().getUTCHours() > 12 ? steps.complete(never) : Effect.void))
  }),
  entry("the code goes by Math.random", "asks for different things", {
    code: then((steps) => (Math.random() < 0.5 ? steps.complete(never) : Effect.void))
  }),
  entry("the code goes by Effect's Random", "asks for different things", {
    code: then((steps) => Effect.flatMap(Random.next, (n) => steps.tool(`try-${n}`, never)))
  }),
  entry("a key is a fresh UUID", "asks for different things", {
    code: then((steps) => Effect.suspend(() => steps.tool(crypto.randomUUID(), never)))
  }),
  entry("the code counts in a variable of the process", "asks for different things", {
    code: (() => {
      let count = 0
      return then((steps) => Effect.suspend(() => steps.tool(`nth-${++count}`, never)))
    })()
  }),
  entry("the code sleeps in memory", "neither an activity, a deferred nor a clock", {
    code: (_given, steps) => first(steps).pipe(Effect.zipRight(Effect.sleep("1 day")), Effect.as({ total: 1 })),
    undecided: true
  }),
  entry("the code never comes to rest", "does not come to rest", {
    code: (_given, steps) => first(steps).pipe(Effect.zipRight(Effect.forever(Effect.void)))
  }),
  entry("the code fetches outside of an activity", "uses fetch outside of an activity", {
    code: then(() => Effect.fork(Effect.promise(() => fetch("https://example.com"))))
  }),
  entry("the code calls a service outside of an activity", "uses Ledger.total outside of an activity", {
    code: then(() => Effect.map(Ledger, (ledger) => ledger.total()).pipe(Effect.catchAllCause(() => Effect.void)))
  }),

  entry("nothing changes, while executions wait", null, {}),
  entry("nothing changes, while executions sleep", null, { open: asleep }),
  entry("nothing changes, after the clock rang", null, { open: awake }),
  entry("nothing changes, and an execution is cancelled", null, {
    open: { deferreds: [{ name: "Workflow/InterruptSignal", exit: { _tag: "Success" } }] }
  }),
  entry("nothing changes, and an activity is under way", null, {
    open: { state: "running", activities: [{ name: "Plan", attempt: 1, reply: undefined }] }
  }),
  entry("nothing changes after two failed attempts", null, {
    declared: withActivity("plan", { error: Retryable }),
    open: { activities: tries }
  }),
  entry("an execution is dead already, and its workflow changes", null, {
    declared: withActivity("plan", { name: "MakePlan" }),
    open: { state: "dead", diedOf: "poisoned" }
  }),
  entry("a payload gets an optional field", null, {
    declared: { payload: Schema.Struct({ ...orderOptions.payload.fields, note: Schema.optional(Schema.String) }) },
    beside: true
  }),
  entry("a result gets an optional field", null, {
    declared: withActivity("plan", {
      success: Schema.Struct({ steps: Schema.Number, cost: Schema.optional(Schema.Number) })
    }),
    beside: true
  }),
  entry("an activity is declared and comes after what is recorded", null, {
    declared: { activities: { ...activities, audit: { name: "Audit", success: Schema.Void, error: Schema.Never } } },
    code: then((steps) => steps.audit(never)),
    beside: true
  }),
  entry("an activity that nobody has met is renamed", null, {
    declared: withActivity("complete", { name: "Finish" }),
    beside: true
  }),
  entry("a step is renamed in the code and keeps its durable name", null, {
    declared: { activities: { ...withoutPlan, makePlan: activities.plan } },
    code: (_given, steps) =>
      steps
        .makePlan(never)
        .pipe(Effect.zipRight(steps.tool("first", never)), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
  }),
  entry("recorded steps are asked for in another order", null, {
    code: (_given, steps) =>
      steps
        .tool("first", never)
        .pipe(Effect.zipRight(steps.plan(never)), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
  }),
  entry("recorded steps are asked for side by side", null, {
    code: (_given, steps) =>
      Effect.all([steps.plan(never), steps.tool("first", never)], { concurrency: "unbounded" }).pipe(
        Effect.zipRight(steps.approval),
        Effect.as({ total: 1 })
      )
  }),
  entry("a second workflow is added", null, { also: [edited({ name: "Purchase" })], beside: true }),
  entry("the time is read and nothing depends on it", null, {
    code: then(() => Effect.logInfo(`it is ${new Date().toISOString()}`))
  })
]
