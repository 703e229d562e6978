/**
 * The cluster's workflow engine, with steps in a journal where the settings say so, and with two gaps closed: an execution
 * that is woken and passed over (`WakeUps`), and this one.
 *
 * An activity is a message of its own: a runner that takes a shard over reads it beside `run`, and holds it until the
 * execution, replayed from its start, asks for it. The library holds it where it can't be interrupted. When the execution is
 * handed over or cut before it gets there, that wait never ends, and with it never the release of the shard: no other runner
 * gets it, and everything on it stands still for as long as the process lives. So here an activity waits before it reaches
 * the library's handler, where it can be interrupted, and leaves by itself when the shard goes.
 */
import { ClusterWorkflowEngine, type Entity, Sharding } from "@effect/cluster"
import { Rpc } from "@effect/rpc"
import type { SqlClient } from "@effect/sql/SqlClient"
import { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { Effect, Layer, Schedule } from "effect"
import * as Journal from "./journal/Journal.ts"
import * as Readers from "./journal/Readers.ts"
import * as Runs from "./runs/Runs.ts"
import * as WakeUps from "./WakeUps.ts"

/** How often an activity that waits looks whether its shard is still here. */
const LOOK = "100 millis"

/**
 * How long the process keeps what it built for an execution that has nothing to do: ended, asleep, or waiting for a person. That
 * is some 12 KB, and is built anew when it wakes. For as long as other entities are kept (`ClusterSettings`, ten minutes), a hundred
 * executions a second would fill the memory of a runner. Looked at in steps of the same length.
 */
const KEPT = "10 seconds"

interface Asked {
  readonly begin: (key: string) => void
  readonly end: (key: string) => void
  readonly wait: (key: string) => Effect.Effect<void>
}

/** For which activities an execution waits in this process. The same one may be asked for twice: see `Handover`. */
const makeAsked = (): Asked => {
  const counts = new Map<string, number>()
  const waiting = new Map<string, Set<() => void>>()
  return {
    begin: (key) => {
      counts.set(key, (counts.get(key) ?? 0) + 1)
      for (const go of waiting.get(key) ?? []) go()
    },
    end: (key) => {
      const left = (counts.get(key) ?? 0) - 1
      if (left > 0) counts.set(key, left)
      else counts.delete(key)
    },
    wait: (key) =>
      Effect.async<void>((resume) => {
        if (counts.has(key)) return resume(Effect.void)
        const all = waiting.get(key) ?? new Set()
        waiting.set(key, all)
        const remove = () => {
          all.delete(go)
          if (all.size === 0 && waiting.get(key) === all) waiting.delete(key)
        }
        const go = () => {
          remove()
          resume(Effect.void)
        }
        all.add(go)
        return Effect.sync(remove)
      })
  }
}

const keyOf = (executionId: string, activity: string) => `${executionId}/${activity}`

type Handler = (request: Entity.Request<Rpc.Any>) => object
type Handlers = Readonly<Record<string, Handler>>

const guard =
  (asked: Asked, sharding: Sharding.Sharding["Type"]) =>
  <H>(handlers: H): H => {
    const { activity } = handlers as Handlers
    if (activity === undefined) return handlers
    const guarded: Handler = (request) => {
      const answer = activity(request)
      if (!Rpc.isWrapper(answer)) return answer
      const { entityId, shardId } = request.address
      const gone = Effect.sync(() => sharding.hasShardId(shardId)).pipe(
        Effect.delay(LOOK),
        Effect.repeat({ while: (here) => here, schedule: Schedule.forever }),
        Effect.andThen(Effect.interrupt)
      )
      const { name } = request.payload as unknown as { readonly name: string }
      return Rpc.wrap({ fork: true, uninterruptible: true })(
        Effect.raceFirst(asked.wait(keyOf(entityId, name)), gone).pipe(
          Effect.interruptible,
          Effect.andThen(answer.value as Effect.Effect<unknown, unknown>)
        )
      )
    }
    return { ...handlers, activity: guarded }
  }

/**
 * How steps are recorded. Each kind reads what the other wrote, so that runners of one ring may differ in it. A release that
 * has no journal does not read it: `auto` waits until none may run any more.
 */
export type StepEngineKind = Readers.Kind

export const layer = (
  kind: StepEngineKind
): Layer.Layer<WorkflowEngine, never, Journal.Needs | Runs.Runs | SqlClient> =>
  Layer.unwrapScoped(Effect.map(Readers.writes(kind), engine))

const engine = (writes: () => boolean) => {
  const asked = makeAsked()
  const registering = Layer.effect(
    Sharding.Sharding,
    Effect.map(Effect.all([Sharding.Sharding, WakeUps.WakeUps, Runs.Runs]), ([sharding, wakeUps, runs]) =>
      Sharding.Sharding.of({
        ...sharding,
        registerEntity: (entity, handlers, options) => {
          const guarded = Effect.map(handlers, (all) => wakeUps.guard(guard(asked, sharding)(all)))
          return Effect.zipRight(
            runs.register(entity as never, guarded as never, writes),
            sharding.registerEntity(entity, guarded, { maxIdleTime: KEPT, ...options })
          )
        }
      })
    )
  )
  const asking = Layer.scoped(
    WorkflowEngine,
    Effect.gen(function* () {
      const engine = yield* WorkflowEngine
      const library: Journal.Execute = (activity, attempt) =>
        Effect.flatMap(WorkflowInstance, ({ executionId }) => {
          const key = keyOf(executionId, activity.name)
          return Effect.acquireUseRelease(
            Effect.sync(() => asked.begin(key)),
            () => engine.activityExecute(activity as never, attempt) as ReturnType<Journal.Execute>,
            () => Effect.sync(() => asked.end(key))
          )
        })
      const journal = yield* Journal.make(library, writes)
      return WorkflowEngine.of({
        ...engine,
        register: (workflow, execute) =>
          engine.register(workflow, (payload, executionId) =>
            Effect.zipRight(journal.attach, execute(payload, executionId))
          ) as never,
        activityExecute: journal.activityExecute as WorkflowEngine["Type"]["activityExecute"]
      })
    })
  )
  return asking.pipe(
    Layer.provide(ClusterWorkflowEngine.layer),
    Layer.provide(registering),
    Layer.provide(WakeUps.layer)
  )
}
