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
import {
  ClusterSchema,
  EntityAddress,
  EntityId,
  EntityType,
  Envelope,
  type MessageStorage,
  Sharding
} from "@effect/cluster"
import { MessageStorage as MessageStorageTag } from "@effect/cluster/MessageStorage"
import { ShardId } from "@effect/cluster/ShardId"
import type { SqlError } from "@effect/sql/SqlError"
import type { Activity, Workflow } from "@effect/workflow"
import { WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { Context, Deferred, Effect, Exit, Fiber, FiberId, Schedule, Scope } from "effect"
import { CurrentProcess } from "../../domain/CurrentProcess.ts"
import { isTransient } from "../../events/EventStore.ts"
import { messageKey } from "../storage/messageKey.ts"
import { carried } from "./carried.ts"
import { decodeExit, encodeExit, fingerprintOf } from "./encoding.ts"
import { ShardEpochs } from "./ShardEpochs.ts"
import { type Loaded, type Step, StepStore, stepKey } from "./StepStore.ts"

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

type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** Steps as the library's engine carries them out. */
export type Execute = (activity: Activity.Any, attempt: number) => Effect.Effect<Result, never, WorkflowInstance>

export const make = (library: Execute, writes: () => boolean) =>
  Effect.gen(function* () {
    const sharding = yield* Sharding.Sharding
    const storage = yield* MessageStorageTag
    const store = yield* StepStore
    const epochs = yield* ShardEpochs
    const { release } = yield* CurrentProcess
    const clock = yield* Effect.clock
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

    const loaded = (
      run: Run,
      messageKey: string | undefined
    ): Effect.Effect<Loaded & { readonly exits: Map<string, string> }> => {
      const asking = store.load({ executionId: run.executionId, messageKey })
      return asking.pipe(
        Effect.catchIf(isTransient, () => Effect.retry(asking, { schedule: patience, while: isTransient })),
        Effect.map(({ exits, ofEngine }) => {
          run.recorded ??= new Map(exits)
          run.ofEngine ||= ofEngine
          return { exits: run.recorded, ofEngine }
        }),
        Effect.orDie
      )
    }

    /**
     * What the execution recorded, and whether the library's engine was ever asked for this one: it keeps a message for each
     * that it was asked for. The first time both are read at once.
     */
    const history = (run: Run, key: string) => {
      const { recorded, address } = run
      if (recorded === undefined) {
        const primaryKey = Envelope.primaryKeyByAddress({ address, tag: "activity", id: key })
        return Effect.flatMap(messageKey(primaryKey), (message) => loaded(run, message))
      }
      if (recorded.has(key) || (run.pastHistory && !run.ofEngine))
        return Effect.succeed({ exits: recorded, ofEngine: false })
      return storage.requestIdForPrimaryKey({ address, tag: "activity", id: key }).pipe(
        Effect.map((id) => {
          const ofEngine = id._tag === "Some"
          run.ofEngine ||= ofEngine
          return { exits: recorded, ofEngine }
        }),
        Effect.orDie
      )
    }

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
    const record = (step: Step, restore: Restore, tries = TRIES) =>
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

    /** Called where it can't be interrupted. What is at work ends with its run. */
    const carryOut = (run: Run, instance: Instance, activity: Activity.Any, attempt: number, restore: Restore) => {
      // The run was left while this looked: it would be at work on an execution that is another's.
      if (run.ended) return Effect.interrupt
      const key = stepKey(activity.name, attempt)
      const startedAt = clock.unsafeCurrentTimeMillis()
      return Effect.flatMap(
        carried({
          activity,
          instance,
          restore,
          began: (child) => run.fibers.add(child),
          ended: (child) => run.fibers.delete(child)
        }),
        (result): Effect.Effect<Result> => {
          if (result._tag === "Suspended") return Effect.succeed(result)
          const exit = encodeExit(result.exit)
          const step: Step = {
            execution_id: run.executionId,
            name: activity.name,
            attempt,
            exit,
            release,
            fingerprint: fingerprintOf(activity),
            started_at: new Date(startedAt).toISOString(),
            finished_at: new Date(clock.unsafeCurrentTimeMillis()).toISOString(),
            shard_id: run.shardId,
            epoch: run.epoch
          }
          return Effect.flatMap(Effect.orDie(record(step, restore)), (answer) => {
            if (answer._tag === "fenced") return restore(refused(run, key))
            const outcome = answer._tag === "lost" ? answer.exit : exit
            run.recorded?.set(key, outcome)
            run.pastHistory = true
            return restore(decodeExit(activity, outcome))
          })
        }
      )
    }

    const fromLibrary = (instance: Instance, activity: Activity.Any, attempt: number) =>
      Effect.provideService(library(activity, attempt), WorkflowInstance, instance)

    const reading = (run: Run, instance: Instance, activity: Activity.Any, attempt: number): Effect.Effect<Result> =>
      Effect.flatMap(
        run.recorded === undefined ? loaded(run, undefined) : Effect.succeed({ exits: run.recorded }),
        ({ exits }) => {
          const known = exits.get(stepKey(activity.name, attempt))
          return known === undefined ? fromLibrary(instance, activity, attempt) : decodeExit(activity, known)
        }
      )

    /** One of a name at a time: who asks for a step that is under way gets what that one ends with. */
    const writing = (run: Run, instance: Instance, activity: Activity.Any, attempt: number): Effect.Effect<Result> => {
      const key = stepKey(activity.name, attempt)
      return Effect.uninterruptibleMask((restore) => {
        const other = run.underway.get(key)
        if (other !== undefined) {
          return restore(Effect.zipRight(Deferred.await(other), writing(run, instance, activity, attempt)))
        }
        const done = Deferred.unsafeMake<void>(FiberId.none)
        run.underway.set(key, done)
        const finished = <A, E>(exit: Exit.Exit<A, E>): Exit.Exit<A, E> => {
          run.underway.delete(key)
          Deferred.unsafeDone(done, Exit.void)
          return exit
        }
        return Effect.flatMap(restore(history(run, key)), ({ exits, ofEngine }): Effect.Effect<Result> => {
          const known = exits.get(key)
          if (known !== undefined) return restore(decodeExit(activity, known))
          return ofEngine
            ? restore(fromLibrary(instance, activity, attempt))
            : carryOut(run, instance, activity, attempt, restore)
        }).pipe(
          Effect.matchCauseEffect({
            onFailure: (cause) => finished(Exit.failCause(cause)),
            onSuccess: (result) => finished(Exit.succeed(result))
          })
        )
      })
    }

    const activityExecute: Execute = (activity, attempt) =>
      Effect.flatMap(WorkflowInstance, (instance) => {
        const run = runOf(instance)
        return run.writes ? writing(run, instance, activity, attempt) : reading(run, instance, activity, attempt)
      })

    return { attach, activityExecute }
  })

export type Needs = Sharding.Sharding | MessageStorage.MessageStorage | StepStore | ShardEpochs
