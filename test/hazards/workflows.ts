/** Changes of workflows and of their code, as `deliver gate workflows` judges them with executions open. */
import { Effect, Schema } from "effect"
import { orderOptions } from "../support/open-work.ts"
import type { Entry } from "./Entry.ts"
import {
  approved,
  asleep,
  awake,
  begun,
  Desk,
  done,
  edited,
  entry,
  failed,
  type Loose,
  never,
  type Step,
  waiting,
  worked
} from "./open-order.ts"
import {
  activities,
  afterwards,
  approvalOf,
  countersign,
  first,
  queued,
  Retryable,
  struct,
  tries,
  withActivity,
  withoutPlan
} from "./order-changes.ts"
import { replayedEntries } from "./replayed.ts"

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
  entry(
    "the code waits for a new deferred where executions wait for an approval",
    "waits for deferred Countersign there",
    {
      declared: { deferreds: { approval: orderOptions.deferreds.approval, ...countersign } },
      code: (_given, steps) =>
        first(steps).pipe(Effect.zipRight(steps.countersign), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
    }
  ),
  entry("the code sleeps where executions wait for an approval, and asks for none", "sleeps on clock Cooldown there", {
    undecided: true,
    code: (_given, steps) => first(steps).pipe(Effect.zipRight(steps.cooldown("1 hour")), Effect.as({ total: 1 }))
  }),
  entry(
    "a step is put between one that has begun and one that is done",
    "asks for activity Check before activity Tool",
    {
      declared: { activities: { ...activities, check: { name: "Check", success: Schema.Void, error: Schema.Never } } },
      open: { state: "running", activities: [begun("Plan"), done("Tool#first", "done")] },
      code: (_given, steps) =>
        (steps.plan(never) as Step).pipe(
          Effect.zipRight(steps.check(never)),
          Effect.zipRight(steps.tool("first", never)),
          Effect.as({ total: 1 })
        )
    }
  ),
  entry(
    "the code waits for a new deferred, and this release was recorded here a while after the executions began to wait",
    "waits for deferred Countersign there",
    {
      declared: { deferreds: { approval: orderOptions.deferreds.approval, ...countersign } },
      since: 3_600_000,
      code: (_given, steps) =>
        first(steps).pipe(Effect.zipRight(steps.countersign), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
    }
  ),
  entry(
    "a finished result that may still be asked for no longer decodes",
    "have results that this release can't read",
    {
      declared: { success: struct("sum", Schema.Number) },
      ended: { _tag: "Success", value: { total: 3 } }
    }
  ),
  entry(
    "a recorded failure that may still be asked for no longer decodes",
    "have failures that this release can't read",
    {
      declared: { error: struct("code", Schema.Number) },
      ended: { _tag: "Failure", cause: { _tag: "Fail", error: { reason: "no" } } }
    }
  ),
  entry("a clock is renamed while it runs", "sleep on clock Cooldown", {
    declared: { clocks: { cooldown: { name: "Pause" } } },
    open: asleep
  }),
  entry("a clock is renamed after it rang", "have slept on clock Cooldown", {
    declared: { clocks: { cooldown: { name: "Pause" } } },
    open: awake
  }),
  entry("a queue is renamed after an item was answered", "have answered items of queue Checks", {
    was: queued("Checks"),
    declared: queued("Inspections"),
    open: { deferreds: [worked("Checks", "fine")] }
  }),
  entry("a queue is removed while an item waits", "Queue Checks of Order is no longer declared", {
    was: queued("Checks"),
    declared: { queues: {} },
    beside: true
  }),
  entry(
    "the form of a queue's answers changes after one was given",
    "recorded for items of queue Checks can't be read",
    {
      was: queued("Checks"),
      declared: queued("Checks", struct("verdict", Schema.String)),
      open: { deferreds: [worked("Checks", "fine")] }
    }
  ),
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
        protocol: { requests: new Map([["Call", { payloadSchema: Schema.Struct({ to: Schema.String }) }]]) },
        getShardGroup: () => "default"
      } as Loose
    ],
    call: {}
  }),
  entry(
    "an entity moves to another shard group while a call of it waits",
    "of entity Desk wait in shard group default",
    {
      entities: [{ ...Desk, getShardGroup: () => "enterprise" }],
      groups: ["default", "enterprise"],
      call: {}
    }
  ),
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

  ...replayedEntries,

  entry("nothing changes, while executions wait", null, {}),
  entry("the code waits for a new deferred that this release itself may have left executions waiting for", null, {
    declared: { deferreds: { approval: orderOptions.deferreds.approval, ...countersign } },
    since: -3_600_000,
    code: (_given, steps) =>
      first(steps).pipe(Effect.zipRight(steps.countersign), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
  }),
  entry("a result gets an optional field, and a finished one may still be asked for", null, {
    declared: { success: Schema.Struct({ total: Schema.Number, note: Schema.optional(Schema.String) }) },
    ended: { _tag: "Success", value: { total: 3 } }
  }),
  entry("nothing changes, while an item of a queue waits", null, {
    was: queued("Checks"),
    code: afterwards((steps) => steps.check({ page: 1 })),
    beside: true
  }),
  entry("nothing changes, after an item of a queue was answered", null, {
    was: queued("Checks"),
    open: { deferreds: [worked("Checks", "fine")] },
    beside: true
  }),
  entry("nothing changes, while executions sleep", null, { open: asleep }),
  entry("nothing changes, after the clock rang", null, { open: awake }),
  // The engine interrupts the fiber that waits: nothing there recovers from it.
  entry("the code catches every cause at its wait", null, {
    code: (_given, steps) =>
      first(steps).pipe(
        Effect.zipRight(steps.approval.pipe(Effect.catchAllCause(() => Effect.succeed({ by: "nobody" })))),
        Effect.zipRight(steps.complete(never)),
        Effect.as({ total: 1 })
      )
  }),
  entry("steps that ran beside each other run one after the other", null, {
    open: { state: "running", activities: [begun("Plan"), done("Tool#first", "done")] },
    code: (_given, steps) => first(steps).pipe(Effect.zipRight(steps.approval), Effect.as({ total: 1 }))
  }),
  entry("a recorded step has a timeout in memory", null, {
    code: (_given, steps) =>
      Effect.timeout(steps.plan(never) as Step, "1 hour").pipe(
        Effect.zipRight(steps.tool("first", never)),
        Effect.zipRight(steps.approval),
        Effect.as({ total: 1 })
      )
  }),
  entry("the code sleeps before it waits for the approval", null, {
    code: (_given, steps) =>
      first(steps).pipe(
        Effect.zipRight(steps.cooldown("1 hour")),
        Effect.zipRight(steps.approval),
        Effect.as({ total: 1 })
      )
  }),
  entry("the code waits for a new deferred after the approval", null, {
    declared: { deferreds: { approval: orderOptions.deferreds.approval, ...countersign } },
    code: (_given, steps) =>
      first(steps).pipe(Effect.zipRight(steps.approval), Effect.zipRight(steps.countersign), Effect.as({ total: 1 }))
  }),
  entry("the code waits for a new deferred after the approval, which was given a moment ago", null, {
    declared: { deferreds: { approval: orderOptions.deferreds.approval, ...countersign } },
    open: { ...waiting, deferreds: [approved] },
    code: (_given, steps) =>
      first(steps).pipe(Effect.zipRight(steps.approval), Effect.zipRight(steps.countersign), Effect.as({ total: 1 }))
  }),
  entry("a new step asks for a new answer, before the approval", null, {
    declared: {
      activities: { ...activities, ask: { name: "Ask", success: Schema.Void, error: Schema.Never } },
      deferreds: { approval: orderOptions.deferreds.approval, ...countersign }
    },
    code: (_given, steps) =>
      first(steps).pipe(
        Effect.zipRight(steps.ask(never)),
        Effect.zipRight(steps.countersign),
        Effect.zipRight(steps.approval),
        Effect.as({ total: 1 })
      )
  }),
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
    code: afterwards((steps) => steps.audit(never)),
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
    code: afterwards(() => Effect.logInfo(`it is ${new Date().toISOString()}`))
  })
]
