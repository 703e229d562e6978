/** Changes of the code of workflows with executions open, which only a replay can tell. */
import { Clock, Effect, Random, Schema } from "effect"
import { orderOptions } from "../support/open-work.ts"
import type { Entry } from "./Entry.ts"
import { approved, begun, entry, errand, failed, Ledger, never, type Step, waiting } from "./open-order.ts"
import { afterwards, countersign, first, Retryable, tries, withActivity } from "./order-changes.ts"

const sendFor = (id: string, discard = false): Step => errand.workflow.execute({ id }, { discard })

/** A plan whose mode is left out where it is the usual one. */
const planned = (usual: string) =>
  Schema.Struct({ steps: Schema.Number, mode: Schema.optionalWith(Schema.String, { default: () => usual }) })

export const replayedEntries: ReadonlyArray<Entry> = [
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
  entry(
    "a default of a recorded result changes, and the code no longer asks for the approval",
    "begins activity Complete there",
    {
      was: withActivity("plan", { success: planned("ask") }),
      declared: withActivity("plan", { success: planned("auto") }),
      code: (_given, steps) =>
        Effect.gen(function* () {
          const plan = yield* steps.plan(never)
          yield* steps.tool("first", never)
          if (plan.mode === "ask") yield* steps.approval
          yield* steps.complete(never)
          return { total: plan.steps }
        }),
      undecided: true
    }
  ),
  entry("the code ends where executions wait for an approval", "ends there", {
    code: (_given, steps) => first(steps).pipe(Effect.as({ total: 1 })),
    undecided: true
  }),
  entry("the code goes on after the approval, which was given a moment ago", null, {
    was: { deferreds: { ...orderOptions.deferreds, ...countersign } },
    open: { ...waiting, deferreds: [approved] },
    code: (_given, steps) =>
      first(steps).pipe(
        Effect.zipRight(steps.approval),
        Effect.zipRight(steps.complete(never)),
        Effect.as({ total: 1 })
      )
  }),
  entry("another payload is given to a workflow that was started", "asks for another execution there", {
    errand: "a",
    code: (given, steps) => first(steps).pipe(Effect.zipRight(sendFor(`${given.id}/v2`)), Effect.as({ total: 1 }))
  }),
  entry("the code goes on to wait for a workflow that was started", null, {
    errand: "a",
    code: (given, steps) => first(steps).pipe(Effect.zipRight(sendFor(given.id)), Effect.as({ total: 1 }))
  }),
  entry("two workflows are started and not waited for, and one is open", null, {
    errand: "a",
    code: (given, steps) =>
      first(steps).pipe(
        Effect.zipRight(sendFor("b", true)),
        Effect.zipRight(sendFor(given.id, true)),
        Effect.zipRight(steps.approval),
        Effect.as({ total: 1 })
      )
  }),
  entry("a step is used twice under one name", "asks for activity Plan twice", {
    code: afterwards((steps) => steps.plan(never))
  }),
  entry(
    "the retries are cut below those that were used",
    "have used 3 attempts of activity Plan or more; this release grants 2",
    {
      declared: withActivity("plan", { error: Retryable, retries: 1 }),
      open: { activities: tries }
    }
  ),
  entry("the retries are cut below an attempt that is under way", "have used 3 attempts of activity Plan", {
    declared: withActivity("plan", { error: Retryable, retries: 1 }),
    open: { activities: [...tries.slice(0, 2), begun("Plan", 3)] }
  }),
  entry("the code stops trying before an attempt that was made", "gives up before it", {
    declared: withActivity("plan", { error: Retryable, retries: 2 }),
    open: { activities: tries.map((each) => (each.attempt === 2 ? failed("Plan", { retryable: false }, 2) : each)) }
  }),
  entry("the retries are cut, and no execution has used more", null, {
    declared: withActivity("plan", { error: Retryable, retries: 2 }),
    open: { activities: tries }
  }),
  entry("the code goes by the time", "asks for different things", {
    code: afterwards((steps) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        now > Date.UTC(2031, 11, 1) ? steps.complete(never) : Effect.void
      )
    )
  }),
  entry("the code goes by the hour of a Date", "asks for different things", {
    code: afterwards((steps) => (new Date().getUTCHours() > 12 ? steps.complete(never) : Effect.void))
  }),
  entry("the code goes by Math.random", "asks for different things", {
    code: afterwards((steps) => (Math.random() < 0.5 ? steps.complete(never) : Effect.void))
  }),
  entry("the code goes by Effect's Random", "asks for different things", {
    code: afterwards((steps) => Effect.flatMap(Random.next, (n) => steps.tool(`try-${n}`, never)))
  }),
  entry("a key is a fresh UUID", "asks for different things", {
    code: afterwards((steps) => Effect.suspend(() => steps.tool(crypto.randomUUID(), never)))
  }),
  entry("the code counts in a variable of the process", "asks for different things", {
    code: (() => {
      let count = 0
      return afterwards((steps) => Effect.suspend(() => steps.tool(`nth-${++count}`, never)))
    })()
  }),
  entry("the code sleeps in memory", "neither an activity, a deferred nor a clock", {
    code: (_given, steps) => first(steps).pipe(Effect.zipRight(Effect.sleep("1 day")), Effect.as({ total: 1 })),
    undecided: true
  }),
  entry("the code gives up a wait after an hour in memory", "sleeps in memory beside what it waits for", {
    code: (_given, steps) =>
      first(steps).pipe(
        Effect.zipRight(Effect.timeout(steps.approval, "1 hour")),
        Effect.zipRight(steps.complete(never)),
        Effect.as({ total: 1 })
      ),
    undecided: true
  }),
  entry("a payload's tenant is read in capitals, of which the key is made", "does not give open executions their ids", {
    declared: {
      payload: Schema.Struct({
        ...orderOptions.payload.fields,
        tenant: Schema.transform(Schema.String, Schema.String, {
          decode: (text) => text.toUpperCase(),
          encode: (text) => text
        })
      })
    }
  }),
  entry("the code never comes to rest", "does not come to rest", {
    code: (_given, steps) => first(steps).pipe(Effect.zipRight(Effect.forever(Effect.void)))
  }),
  entry("the code fetches outside of an activity", "uses fetch outside of an activity", {
    code: afterwards(() => Effect.fork(Effect.promise(() => fetch("https://example.com"))))
  }),
  entry("the code goes by the environment", "uses process.env.REGION outside of an activity", {
    code: afterwards((steps) => Effect.suspend(() => steps.tool(`in-${process.env["REGION"]}`, never)))
  }),
  entry("the code calls a service outside of an activity", "uses Ledger.total outside of an activity", {
    code: afterwards(() => Effect.map(Ledger, (ledger) => ledger.total()).pipe(Effect.catchAllCause(() => Effect.void)))
  })
]
