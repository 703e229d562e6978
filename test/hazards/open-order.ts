/**
 * An order that is open while its workflow changes, and how `deliver gate workflows` judges that.
 *
 * The executions are written down here as the gate reads them from the database; that the engine really leaves them so is
 * tested beside the gate.
 */
import type { PersistedQueueFactory } from "@effect/experimental/PersistedQueue"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Context, Effect, Either, Layer, Schema, Stream } from "effect"
import { declare } from "../../src/agent/Declaration.ts"
import { verdictOf } from "../../src/gates/Evidence.ts"
import { judge } from "../../src/gates/workflows/Gate.ts"
import { type Execution, type OpenCall, OpenWork, type Stored } from "../../src/gates/workflows/OpenWork.ts"
import * as Forbidden from "../../src/gates/workflows/replay/Forbidden.ts"
import * as Queues from "../../src/gates/workflows/replay/Queues.ts"
import * as Replay from "../../src/gates/workflows/replay/Replay.ts"
import { shardNumber } from "../../src/gates/workflows/rules/Shard.ts"
import type { AnyDeclaration, AnyEntity } from "../../src/surface/Declared.ts"
import { identify } from "../../src/surface/extract.ts"
import { orderOptions, surfaceOf } from "../support/open-work.ts"
import { type Entry, saidBy } from "./Entry.ts"

// biome-ignore lint/suspicious/noExplicitAny: an edit takes a declaration and its code apart as a developer would
export type Loose = any

export const edited = (change: object): Loose => declare({ ...orderOptions, ...change } as typeof orderOptions)
export const never = Effect.die("a replay carries nothing out")

export const value = (json: unknown): Stored => ({ _tag: "value", value: json })
const exitReply = (exit: unknown) => value({ _tag: "Success", value: { _tag: "Complete", exit } })
export const done = (name: string, result?: unknown, attempt = 1) => ({
  name,
  attempt,
  reply: exitReply({ _tag: "Success", value: result })
})
export const failed = (name: string, error: unknown, attempt = 1) => ({
  name,
  attempt,
  reply: exitReply({ _tag: "Failure", cause: { _tag: "Fail", error } })
})
/** Under way: no result yet. */
export const begun = (name: string, attempt = 1) => ({ name, attempt, reply: undefined })
export const approved = { name: "Approval", exit: { _tag: "Success", value: { by: "alice" } } }
/** The answer to an item of a queue. */
export const worked = (queue: string, answer: unknown) => ({
  name: `DurableQueue/${queue}/0123456789abcdef`,
  exit: { _tag: "Success", value: answer }
})
export const rung = { name: "DurableClock/Cooldown", exit: { _tag: "Success" } }

const payload = { tenant: "acme", id: "a", wait: "both" }
/** Planned, the first tool called; it waits for its approval. */
export const waiting = { activities: [done("Plan", { steps: 2 }), done("Tool#first", "done")] }
export const asleep = { ...waiting, deferreds: [approved], clocks: [{ name: "Cooldown" }] }
export const awake = { ...waiting, deferreds: [approved, rung] }

/** A workflow that an order may start and wait for. */
export const errand = declare({
  name: "Errand",
  payload: Schema.Struct({ id: Schema.String }),
  success: Schema.Void,
  error: Schema.Never,
  idempotencyKey: ({ id }) => id,
  activities: { fetch: { name: "Fetch", success: Schema.Void, error: Schema.Never } },
  deferreds: {},
  clocks: {}
})

export type Step = Effect.Effect<unknown, unknown, Loose>
export type Body = (payload: Loose, steps: Loose) => Effect.Effect<Loose, Loose, Loose>

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
  /** Of the declaration that began the execution. */
  readonly was?: object
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
  /** The order has started an errand of this id, which is open. */
  readonly errand?: string
  /** The candidate was here before: since when. Executions were last answered at 0. */
  readonly since?: number
  /** What an ended execution answered, for which somebody may still ask. */
  readonly ended?: unknown
}

export class Ledger extends Context.Tag("hazards/Ledger")<Ledger, { readonly total: () => number }>() {}

export const Desk: AnyEntity = {
  type: "Desk",
  protocol: { requests: new Map([["Call", { payloadSchema: Schema.Struct({ text: Schema.String }) }]]) },
  getShardGroup: () => "default"
} as Loose

export const entry = (title: string, expect: string | null, change: Change): Entry => ({
  gate: "workflows",
  title,
  expect,
  ...(change.undecided === undefined ? {} : { undecided: change.undecided }),
  judge: Effect.gen(function* () {
    const before: AnyDeclaration = edited(change.was ?? {})
    const { executionId } = yield* identify(before, payload).pipe(Effect.orDieWith((why) => new Error(why)))
    const execution: Execution = {
      workflow: "Order",
      executionId,
      shardId: `default:${shardNumber(executionId, 300)}`,
      state: "suspended",
      diedOf: undefined,
      startedAt: 0,
      answeredAt: 0,
      payload: value(payload),
      deferreds: [],
      clocks: [],
      damaged: [],
      ...waiting,
      ...change.open
    }
    const started: ReadonlyArray<Execution> =
      change.errand === undefined
        ? []
        : yield* identify(errand, { id: change.errand }).pipe(
            Effect.orDieWith((why) => new Error(why)),
            Effect.map((child) => [
              {
                ...execution,
                workflow: "Errand",
                executionId: child.executionId,
                shardId: `default:${shardNumber(child.executionId, 300)}`,
                state: "running" as const,
                payload: value({
                  id: change.errand,
                  "~@effect/workflow/parent": { workflowName: "Order", executionId }
                }),
                activities: [begun("Fetch")],
                deferreds: [],
                clocks: []
              }
            ])
          )
    const call: OpenCall = {
      entityType: "Desk",
      entityId: "desk-7",
      tag: "Call",
      shardId: "default:1",
      payload: value({ text: "hi" }),
      ...change.call
    }
    const own =
      "declared" in change && change.declared === undefined ? [] : [edited({ ...change.was, ...change.declared })]
    const declarations: ReadonlyArray<AnyDeclaration> = [
      ...own,
      ...(change.errand === undefined ? [] : [errand]),
      ...(change.also ?? [])
    ]
    const handlers: Layer.Layer<never, never, WorkflowEngine | PersistedQueueFactory | Ledger> = Layer.mergeAll(
      errand.toLayer((_given, steps) => steps.fetch(never), { onCancelled: () => Effect.void }),
      ...(change.handlers === "none"
        ? []
        : own.map((each) => each.toLayer(change.code ?? code, { onCancelled: () => Effect.void })))
    ) as Loose
    const replayer = yield* Replay.make(handlers.pipe(Layer.provide([Forbidden.layer(Ledger), Queues.layer])))
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
      before: { surfaces: [yield* surfaceOf([before])], since: change.since },
      replayer
    }).pipe(
      Effect.provideService(OpenWork, {
        exists: Effect.succeed(true),
        executions: Stream.make(execution, ...started),
        calls: change.call === undefined ? Stream.empty : Stream.make(call),
        results: () =>
          change.ended === undefined
            ? Stream.empty
            : Stream.make({ workflow: "Order", executionId, exit: value(change.ended) }),
        lived: () => Effect.succeed(undefined)
      }),
      Effect.orDie
    )
    return saidBy(verdictOf(findings), findings)
  })
})
