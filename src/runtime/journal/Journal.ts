/**
 * Steps that run in the fiber of their execution, and end in one row each.
 *
 * The library makes every activity a message to the entity of its own execution: stored, read, sent, answered, the answer
 * stored and read. All of it on the runner's one thread, which is what bounds a runner, and not Postgres. Here an activity
 * runs where it is asked for. What it ended with is committed before the execution goes on; and what an execution recorded is
 * read once, when it first asks.
 *
 * What is in the engine's own tables is the engine's: an activity of which there is a message, ended or not, is left to the
 * library. So executions go on here that the library's engine began.
 */
import { ClusterSchema, EntityAddress, EntityId, EntityType, type MessageStorage, Sharding } from "@effect/cluster"
import { MessageStorage as MessageStorageTag } from "@effect/cluster/MessageStorage"
import { ShardId } from "@effect/cluster/ShardId"
import type { SqlError } from "@effect/sql/SqlError"
import { type Activity, Workflow } from "@effect/workflow"
import { WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { Clock, Context, Deferred, Effect, Fiber, Schedule, Scope } from "effect"
import { CurrentProcess } from "../../domain/CurrentProcess.ts"
import { isTransient } from "../../events/EventStore.ts"
import { decodeExit, encodeExit, fingerprintOf } from "./encoding.ts"
import { ShardEpochs } from "./ShardEpochs.ts"
import { type Exits, type Step, StepStore, stepKey } from "./StepStore.ts"

type Instance = WorkflowInstance["Type"]
type Result = Workflow.Result<unknown, unknown>

/** Longer than any outage that a runner survives with its shards. */
const patience = Schedule.exponential("50 millis", 2).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.upTo("5 minutes")
)
const TRY_AGAIN = "500 millis"
const TRIES = 600

/**
 * A runner that was refused has lost the shard, and is about to hear of it: the library then cuts all that runs there. Until
 * then the execution stands still. It is not begun again at once, since then its step would run again and again; only when
 * the runner has taken the shard anew.
 */
const HEARS_OF_IT = "30 seconds"
const LOOK = "100 millis"

/** One run of an execution, from its start or resumption until it suspends or ends. */
interface Run {
  readonly executionId: string
  readonly shardId: string
  readonly address: EntityAddress.EntityAddress
  /** Taken at the run's start: should the shard be lost and come back, this run has no part in that. */
  readonly epoch: string
  /** For the whole run: what it asked the library for is then never looked for in the journal. */
  readonly writes: boolean
  recorded: Map<string, string> | undefined
  /** The library's engine has messages of this execution. */
  ofEngine: boolean
  /** An activity of which nobody knew has ended in this run. What is asked for thereafter was never asked for before. */
  pastHistory: boolean
  readonly underway: Map<string, Deferred.Deferred<void>>
  readonly fibers: Set<Fiber.RuntimeFiber<unknown, unknown>>
  ended: boolean
}

/** Steps as the library's engine carries them out. */
export type Execute = (activity: Activity.Any, attempt: number) => Effect.Effect<Result, never, WorkflowInstance>

export const make = (library: Execute, writes: () => boolean) =>
  Effect.gen(function* () {
    const sharding = yield* Sharding.Sharding
    const storage = yield* MessageStorageTag
    const store = yield* StepStore
    const epochs = yield* ShardEpochs
    const { release } = yield* CurrentProcess
    // By scope and not by instance: the library copies an instance where it races, and the copies share the scope.
    const runs = new WeakMap<Scope.Scope, Run>()

    const runOf = ({ executionId, workflow, scope }: Instance): Run => {
      const known = runs.get(scope)
      if (known !== undefined) return known
      const entityId = EntityId.make(executionId)
      const shard = sharding.getShardId(entityId, Context.get(workflow.annotations, ClusterSchema.ShardGroup)(entityId))
      const shardId = ShardId.toString(shard)
      const run: Run = {
        executionId,
        shardId,
        address: new EntityAddress.EntityAddress({
          entityType: EntityType.EntityType.make(`Workflow/${workflow.name}`),
          entityId,
          shardId: shard
        }),
        // No shard has number 0: what it writes is refused.
        epoch: epochs.of(shardId) ?? "0",
        writes: writes(),
        recorded: undefined,
        ofEngine: false,
        pastHistory: false,
        underway: new Map(),
        fibers: new Set(),
        ended: false
      }
      runs.set(scope, run)
      return run
    }

    /** Ends with the run what of it is still at work in other fibers. Attached first, so that compensations come before. */
    const attach = Effect.flatMap(WorkflowInstance, (instance) =>
      Effect.suspend(() => {
        const run = runOf(instance)
        return Scope.addFinalizer(
          instance.scope,
          Effect.suspend(() => {
            run.ended = true
            return Fiber.interruptAll(run.fibers)
          })
        )
      })
    )

    const load = (run: Run): Effect.Effect<Exits> =>
      run.recorded !== undefined
        ? Effect.succeed(run.recorded)
        : store.load(run.executionId).pipe(
            Effect.retry({ schedule: patience, while: isTransient }),
            Effect.map((exits) => {
              run.recorded ??= new Map(exits)
              return run.recorded
            }),
            Effect.orDie
          )

    /** Whether the library's engine was ever asked for this one. It keeps a message for each that it was asked for. */
    const isOfEngine = (run: Run, key: string): Effect.Effect<boolean> =>
      run.pastHistory && !run.ofEngine
        ? Effect.succeed(false)
        : storage.requestIdForPrimaryKey({ address: run.address, tag: "activity", id: key }).pipe(
            Effect.map((id) => {
              if (id._tag === "None") return false
              run.ofEngine = true
              return true
            }),
            Effect.orDie
          )

    const refused = ({ executionId, shardId, epoch }: Run, key: string) =>
      Effect.logWarning("The shard was taken by another runner: this one's step is not recorded").pipe(
        Effect.annotateLogs({ execution: executionId, step: key, shard: shardId }),
        Effect.andThen(
          Effect.repeat(Effect.sleep(LOOK), { until: () => (epochs.of(shardId) ?? epoch) !== epoch }).pipe(
            Effect.timeoutOption(HEARS_OF_IT)
          )
        ),
        Effect.andThen(Effect.interrupt)
      )

    /** Says it until it is heard. Only between two tries can it be interrupted: what was done is to be written down. */
    const record = (step: Step, restore: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>, tries = TRIES) =>
      store
        .record(step)
        .pipe(
          Effect.catchAll(
            (error: SqlError): ReturnType<typeof store.record> =>
              isTransient(error) && tries > 1
                ? Effect.zipRight(restore(Effect.sleep(TRY_AGAIN)), record(step, restore, tries - 1))
                : Effect.fail(error)
          )
        )

    /** Ends with its run. */
    const tracked = <A>(run: Run, effect: Effect.Effect<A>): Effect.Effect<A> =>
      Effect.withFiberRuntime((fiber) => {
        // The run was left while this looked: it would be at work on an execution that is another's.
        if (run.ended) return Effect.interrupt
        run.fibers.add(fiber)
        return Effect.ensuring(
          effect,
          Effect.sync(() => run.fibers.delete(fiber))
        )
      })

    const carryOut = (run: Run, instance: Instance, activity: Activity.Any, attempt: number) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const key = stepKey(activity.name, attempt)
          const startedAt = yield* Clock.currentTimeMillis
          // An instance of its own, as the library gives it: that the step is suspended or cut is not yet the execution's end.
          const own = WorkflowInstance.initial(instance.workflow, instance.executionId)
          const result = yield* tracked(
            run,
            (activity.executeEncoded as Effect.Effect<unknown, unknown, WorkflowInstance>).pipe(
              Workflow.intoResult,
              Effect.provideService(WorkflowInstance, own),
              restore
            )
          )
          if (result._tag === "Suspended") return result
          const exit = encodeExit(result.exit)
          const answer = yield* Effect.orDie(
            record(
              {
                execution_id: run.executionId,
                name: activity.name,
                attempt,
                exit,
                release,
                fingerprint: fingerprintOf(activity),
                started_at: new Date(startedAt).toISOString(),
                finished_at: new Date(yield* Clock.currentTimeMillis).toISOString(),
                shard_id: run.shardId,
                epoch: run.epoch
              },
              restore
            )
          )
          if (answer._tag === "fenced") return yield* restore(refused(run, key))
          const outcome = answer._tag === "lost" ? answer.exit : exit
          run.recorded?.set(key, outcome)
          run.pastHistory = true
          return yield* restore(decodeExit(activity, outcome))
        })
      )

    const fromLibrary = (instance: Instance, activity: Activity.Any, attempt: number) =>
      Effect.provideService(library(activity, attempt), WorkflowInstance, instance)

    const reading = (run: Run, instance: Instance, activity: Activity.Any, attempt: number): Effect.Effect<Result> =>
      Effect.flatMap(load(run), (exits) => {
        const known = exits.get(stepKey(activity.name, attempt))
        return known === undefined ? fromLibrary(instance, activity, attempt) : decodeExit(activity, known)
      })

    const writing = (run: Run, instance: Instance, activity: Activity.Any, attempt: number): Effect.Effect<Result> => {
      const key = stepKey(activity.name, attempt)
      return Effect.zipWith(
        load(run),
        isOfEngine(run, key),
        (exits, ofEngine): Effect.Effect<Result> => {
          const known = exits.get(key)
          if (known !== undefined) return decodeExit(activity, known)
          return ofEngine ? fromLibrary(instance, activity, attempt) : carryOut(run, instance, activity, attempt)
        },
        { concurrent: run.recorded === undefined }
      ).pipe(Effect.flatten)
    }

    /** One of a name at a time: who asks for a step that is under way gets what that one ends with. */
    const one = (run: Run, key: string, effect: Effect.Effect<Result>): Effect.Effect<Result> =>
      Effect.suspend(() => {
        const other = run.underway.get(key)
        if (other !== undefined) return Effect.zipRight(Deferred.await(other), one(run, key, effect))
        return Effect.acquireUseRelease(
          Effect.map(Deferred.make<void>(), (done) => {
            run.underway.set(key, done)
            return done
          }),
          () => effect,
          (done) =>
            Effect.suspend(() => {
              run.underway.delete(key)
              return Deferred.succeed(done, undefined)
            })
        )
      })

    const activityExecute: Execute = (activity, attempt) =>
      Effect.flatMap(WorkflowInstance, (instance) => {
        const run = runOf(instance)
        return run.writes
          ? one(run, stepKey(activity.name, attempt), writing(run, instance, activity, attempt))
          : reading(run, instance, activity, attempt)
      })

    return { attach, activityExecute }
  })

export type Needs = Sharding.Sharding | MessageStorage.MessageStorage | StepStore | ShardEpochs
