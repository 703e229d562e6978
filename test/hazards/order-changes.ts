/** Parts of changes of the order, as entries of the corpus put them together. */
import { DurableDeferred, DurableQueue } from "@effect/workflow"
import { Effect, Schema } from "effect"
import { orderOptions } from "../support/open-work.ts"
import { type Body, done, failed, type Loose, never, type Step } from "./open-order.ts"

export const { activities } = orderOptions

export const struct = (field: string, schema: Schema.Schema.AnyNoContext) => Schema.Struct({ [field]: schema })
export const withActivity = (name: keyof typeof activities, change: object) => ({
  activities: { ...activities, [name]: { ...activities[name], ...change } }
})
export const { plan: _plan, ...withoutPlan } = activities
export const approvalOf = (schema: Schema.Schema.AnyNoContext, name = "Approval") => ({
  deferreds: { approval: DurableDeferred.make(name, { success: schema }) }
})

export const first = (steps: Loose): Step =>
  Effect.andThen(steps.plan(never) as Step, steps.tool("first", never) as Step)
/** After what is recorded: what differs there is the code's own business. */
export const afterwards =
  (rest: (steps: Loose, given: Loose) => Effect.Effect<unknown, unknown, Loose>): Body =>
  (given, steps) =>
    first(steps).pipe(Effect.zipRight(rest(steps, given)), Effect.zipRight(steps.approval), Effect.as({ total: 1 }))

export const countersign = { countersign: DurableDeferred.make("Countersign", { success: Schema.Void }) }

export const queued = (name: string, success: Schema.Schema.AnyNoContext = Schema.String) => ({
  queues: {
    check: DurableQueue.make({
      name,
      payload: { page: Schema.Number },
      success,
      error: Schema.Never,
      idempotencyKey: ({ page }) => String(page)
    })
  }
})

export const Retryable = Schema.Struct({ retryable: Schema.Boolean })
export const tries = [
  failed("Plan", { retryable: true }),
  failed("Plan", { retryable: true }, 2),
  done("Plan", { steps: 1 }, 3)
]
