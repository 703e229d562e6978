/**
 * The durable parts of a workflow, declared in one place.
 *
 * Effect finds durable work by name: activity `<name>/<attempt>`, deferred `<name>`, clock `<name>`, queue `<name>` with the key
 * of each item. Names and schemas are therefore the contract between releases, and `surface.json` is made from these declarations. A handler receives `steps`
 * with exactly what is declared; an activity that it makes up for itself does not typecheck.
 */
import { ClusterSchema } from "@effect/cluster"
import { PersistedQueueFactory } from "@effect/experimental/PersistedQueue"
import { Activity, DurableClock, DurableDeferred, DurableQueue, Workflow } from "@effect/workflow"
import { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import {
  Context,
  type Duration,
  Effect,
  Fiber,
  FiberRef,
  HashMap,
  type Layer,
  Record,
  type Schema,
  type Scope
} from "effect"
import { Answered } from "./Answered.ts"
import { Handover } from "./Handover.ts"

type AnySchema = Schema.Schema.AnyNoContext
type AnyError = Schema.Schema.All

/** One activity. A `keyed` one runs several times in an execution: its durable name is then `<name>#<key>`. */
export interface ActivityDeclaration {
  readonly name: string
  readonly success: AnySchema
  readonly error: AnyError
  readonly keyed?: boolean
  /** How often a failure that says `retryable` is tried again. Every attempt is recorded: the bound is the rows' bound. */
  readonly retries?: number
}

export interface ClockDeclaration {
  readonly name: string
}

/**
 * Work that the execution hands to workers, who bound how much of it is under way at once, and whose answer it waits for: made by
 * `DurableQueue.make`, worked on by `DurableQueue.worker`. An item is worked on at least once.
 */
export interface QueueDeclaration {
  readonly name: string
  readonly payloadSchema: AnySchema
  /** Of what an item's name in its execution is made: an item that is offered again is the same one. */
  readonly idempotencyKey: (payload: never) => string
  /** How an item is answered. */
  readonly deferred: DurableDeferred.DurableDeferred<AnySchema, AnyError>
}

type Activities = Readonly<Record<string, ActivityDeclaration>>
type Deferreds = Readonly<Record<string, DurableDeferred.DurableDeferred<AnySchema, AnyError>>>
type Clocks = Readonly<Record<string, ClockDeclaration>>
type Queues = Readonly<Record<string, QueueDeclaration>>

/** What the surface reads of a declaration. */
export interface AnyDeclaration {
  readonly workflow: Workflow.Any
  readonly idempotencyKey: (payload: never) => string
  readonly activities: Activities
  readonly deferreds: Deferreds
  readonly clocks: Clocks
  readonly queues: Queues
}

export interface Declaration<
  Name extends string,
  Payload extends Workflow.AnyStructSchema,
  Success extends AnySchema,
  Error extends AnyError,
  A extends Activities,
  D extends Deferreds,
  C extends Clocks,
  Q extends Queues
> extends AnyDeclaration {
  readonly workflow: Workflow.Workflow<Name, Payload, Success, Error>
  /** Of what the execution's id is made, together with the workflow's name. */
  readonly idempotencyKey: (payload: Payload["Type"]) => string
  readonly activities: A
  readonly deferreds: D
  readonly clocks: C
  readonly queues: Q
  /** Carries the workflow out. `onCancelled` runs when an execution ends because it was interrupted for good. */
  readonly toLayer: <R, RC = never>(
    handler: (
      payload: Payload["Type"],
      steps: Steps<A, D, C, Q>,
      executionId: string
    ) => Effect.Effect<Success["Type"], Error["Type"], R>,
    options: {
      readonly onCancelled: (payload: Payload["Type"], executionId: string) => Effect.Effect<void, never, RC>
    },
    ...undeclared: [Extract<R, WorkflowEngine | WorkflowInstance>] extends [never]
      ? []
      : [error: "A durable part is used that the declaration does not list: use `steps`"]
  ) => Layer.Layer<never, never, WorkflowEngine | StoreOf<Q> | Exclude<R | RC, Scope.Scope>>
}

/** Where the items of queues are kept: asked for by a workflow that declares one. */
type StoreOf<Q extends Queues> = [keyof Q] extends [never] ? never : PersistedQueueFactory

type Body<Activity extends ActivityDeclaration, R> = Effect.Effect<
  Activity["success"]["Type"],
  Activity["error"]["Type"],
  R
>

export type Steps<A extends Activities, D extends Deferreds, C extends Clocks, Q extends Queues> = {
  /** Runs the activity's body once for good: at least once, with the first recorded outcome as the outcome. */
  readonly [K in keyof A]: A[K]["keyed"] extends true
    ? <R>(key: string, body: Body<A[K], R>) => Effect.Effect<A[K]["success"]["Type"], A[K]["error"]["Type"], R>
    : <R>(body: Body<A[K], R>) => Effect.Effect<A[K]["success"]["Type"], A[K]["error"]["Type"], R>
} & {
  /** Waits, for days if need be: the execution leaves the memory meanwhile. */
  readonly [K in keyof D]: Effect.Effect<D[K]["successSchema"]["Type"], D[K]["errorSchema"]["Type"]>
} & {
  readonly [K in keyof C]: (duration: Duration.DurationInput) => Effect.Effect<void>
} & {
  /** Offers the item, and waits for a worker's answer as for a deferred. */
  readonly [K in keyof Q]: (
    payload: Q[K]["payloadSchema"]["Type"]
  ) => Effect.Effect<Q[K]["deferred"]["successSchema"]["Type"], Q[K]["deferred"]["errorSchema"]["Type"]>
}

type AnyQueue = DurableQueue.DurableQueue<AnySchema, AnySchema, AnyError>

/** The durable name of an activity, as the cluster's tables have it. */
export const activityName = (activity: ActivityDeclaration, key?: string): string =>
  key === undefined ? activity.name : `${activity.name}#${key}`

/** The declared name behind a durable one. */
export const declaredName = (durableName: string): string => durableName.replace(/#.*$/, "")

/** The queue of whose item this deferred is the answer, for a name that the library makes: `DurableQueue/<name>/<digest>`. */
export const queueOf = (deferredName: string): string | undefined =>
  /^DurableQueue\/(.*)\/[^/]*$/.exec(deferredName)?.[1]

const RETRIES = 3

/** How often a step is tried again at most. Part of the surface: an execution may have used them all. */
export const retriesOf = ({ retries }: ActivityDeclaration): number => retries ?? RETRIES

/** An execution that a leaving runner keeps is asked for again at once; this keeps that from becoming a busy loop. */
const HANDOVER_PAUSE = "100 millis"

const isRetryable = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "retryable" in error && error.retryable === true

export const declare = <
  const Name extends string,
  Payload extends Workflow.AnyStructSchema,
  Success extends AnySchema,
  Error extends AnyError,
  const A extends Activities,
  const D extends Deferreds = Record<never, never>,
  const C extends Clocks = Record<never, never>,
  const Q extends Queues = Record<never, never>
>(options: {
  readonly name: Name
  readonly payload: Payload
  readonly success: Success
  readonly error: Error
  readonly idempotencyKey: (payload: Payload["Type"]) => string
  readonly shardGroup?: (executionId: string) => string
  readonly activities: A
  readonly deferreds?: D
  readonly clocks?: C
  readonly queues?: Q
}): Declaration<Name, Payload, Success, Error, A, D, C, Q> => {
  const deferreds = options.deferreds ?? ({} as D)
  const clocks = options.clocks ?? ({} as C)
  const queues = options.queues ?? ({} as Q)
  const names = [options.activities, deferreds, clocks, queues].flatMap((parts) => Object.keys(parts))
  if (new Set(names).size !== names.length) throw new Error(`${options.name}: two steps have the same name`)

  const workflow = Workflow.make({
    name: options.name,
    payload: options.payload,
    success: options.success,
    error: options.error,
    idempotencyKey: options.idempotencyKey as (payload: unknown) => string,
    annotations:
      options.shardGroup === undefined
        ? Context.empty()
        : (Context.make(ClusterSchema.ShardGroup, options.shardGroup) as Context.Context<never>)
  }) as unknown as Workflow.Workflow<Name, Payload, Success, Error>

  type Services = WorkflowEngine | WorkflowInstance | PersistedQueueFactory
  const stepsOf = (
    context: Context.Context<Services>,
    executionId: string,
    answer: Context.Tag.Service<typeof Answered>["answer"]
  ) => {
    const handOver = Effect.flatMap(Handover, ({ leaving }) =>
      leaving === undefined
        ? Effect.void
        : Effect.flatMap(leaving(workflow, executionId), (yes) =>
            yes ? Effect.delay(Effect.interrupt, HANDOVER_PAUSE) : Effect.void
          )
    )
    const activity =
      (declared: ActivityDeclaration) =>
      (...args: [Effect.Effect<unknown, unknown>] | [string, Effect.Effect<unknown, unknown>]) => {
        const [key, body] = args.length === 1 ? [undefined, args[0]] : args
        const carriedOut = () => carryOut(declared, key, body)
        if (answer === undefined) return carriedOut()
        return Effect.suspend(() => answer(executionId, declared, activityName(declared, key)) ?? carriedOut())
      }
    const carryOut = (
      declared: ActivityDeclaration,
      key: string | undefined,
      body: Effect.Effect<unknown, unknown>
    ) => {
      const attempt = Effect.flatMap(FiberRef.get(FiberRef.currentLogAnnotations), (annotations) => {
        let begun = false
        const made = Activity.make({
          name: activityName(declared, key),
          success: declared.success,
          error: declared.error,
          execute: Effect.suspend(() => {
            begun = true
            // The cluster runs it in a fiber of its own, which would not know what its log lines are about.
            return Effect.locally(
              body,
              FiberRef.currentLogAnnotations,
              HashMap.set(annotations, "activity", declared.name)
            )
          })
        })
        const handOverUnlessBegun: Effect.Effect<never> = Effect.suspend(() =>
          begun ? Effect.never : Effect.andThen(handOver, Effect.delay(handOverUnlessBegun, HANDOVER_PAUSE))
        )
        // A shard that is assigned elsewhere but not given up yet: the cluster has sent this activity to the next owner,
        // who can't take it before this execution ends. So the wait for it is left. It is left and not interrupted, since
        // an interruption would be recorded as one of the activity.
        const watched = handOver.pipe(
          Effect.andThen(Effect.forkDaemon(made)),
          Effect.flatMap((waiting) => Effect.raceFirst(Fiber.join(waiting), handOverUnlessBegun))
        )
        // Three fibers for a step are half the time of a replay, where nothing is given away.
        return Effect.flatMap(Handover, ({ leaving }) => (leaving === undefined ? made : watched))
      })
      return attempt.pipe(Activity.retry({ times: retriesOf(declared), while: isRetryable }), Effect.provide(context))
    }
    return {
      ...Record.map(options.activities, activity),
      ...Record.map(deferreds, (deferred) =>
        handOver.pipe(Effect.andThen(DurableDeferred.await(deferred)), Effect.provide(context))
      ),
      ...Record.map(
        clocks,
        (clock) => (duration: Duration.DurationInput) =>
          handOver.pipe(
            // 0 would be falsy and fall back to 60 s of sleep in memory, which a restart of the runner starts over.
            Effect.andThen(DurableClock.sleep({ name: clock.name, duration, inMemoryThreshold: "1 millis" })),
            Effect.provide(context)
          )
      ),
      ...Record.map(queues as Queues, (queue) => (payload: unknown) => {
        const item = DurableQueue.process(queue as unknown as AnyQueue, payload)
        return handOver.pipe(Effect.andThen(item), Effect.provide(context))
      })
    } as unknown as Steps<A, D, C, Q>
  }

  type Handler = (
    payload: Payload["Type"],
    steps: Steps<A, D, C, Q>,
    executionId: string
  ) => Effect.Effect<Success["Type"], Error["Type"]>
  type OnCancelled = (payload: Payload["Type"], executionId: string) => Effect.Effect<void>

  return {
    workflow,
    idempotencyKey: options.idempotencyKey,
    activities: options.activities,
    deferreds,
    clocks,
    queues,
    toLayer: ((handler: Handler, { onCancelled }: { readonly onCancelled: OnCancelled }) =>
      workflow.toLayer((payload, executionId) =>
        Effect.gen(function* () {
          const instance = yield* WorkflowInstance
          const context = (yield* Effect.context<Services>()).pipe(
            Context.pick(WorkflowEngine, WorkflowInstance, PersistedQueueFactory)
          )
          // The scope also closes with an interruption when the runner merely gives the execution away.
          yield* Workflow.addFinalizer(() => (instance.interrupted ? onCancelled(payload, executionId) : Effect.void))
          const { answer } = yield* Answered
          return yield* handler(payload, stepsOf(context, executionId, answer), executionId)
        })
      )) as unknown as Declaration<Name, Payload, Success, Error, A, D, C, Q>["toLayer"]
  }
}
