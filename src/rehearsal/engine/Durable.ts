/**
 * The engine's durable work: one workflow per rollout, one per automation run, on the host's Postgres.
 *
 * A rollout's workflow is a loop: ask what is next, and run it or wait. Waits are durable deferreds and soaks durable clocks, so a
 * server that is killed goes on where it was; a job that was under way is asked for again by its key, not begun again.
 */
import { ClusterWorkflowEngine, SingleRunner } from "@effect/cluster"
import { Activity, DurableClock, DurableDeferred, Workflow, WorkflowEngine } from "@effect/workflow"
import { Effect, Exit, Layer, Queue, Schedule, Schema } from "effect"
import type { Host } from "../host/HostClient.ts"
import type { GoogleError } from "./GoogleError.ts"
import * as JobRunner from "./JobRunner.ts"
import type { AutomationRun, Rollout } from "./Resources.ts"
import { isOver, next } from "./RolloutPlan.ts"
import { Rollouts } from "./Rollouts.ts"
import type { Sources } from "./Source.ts"
import { Store } from "./Store.ts"

const RolloutWorkflow = Workflow.make({
  name: "Rollout",
  payload: { name: Schema.String },
  idempotencyKey: ({ name }) => name
})

const AutomationWorkflow = Workflow.make({
  name: "Automation",
  payload: { name: Schema.String, waitMs: Schema.Number },
  idempotencyKey: ({ name }) => name
})

const wakeAt = (number: number) => DurableDeferred.make(`wake/${number}`)

const Next = Schema.Struct({
  tag: Schema.Literal("Run", "Wait", "Done"),
  jobRun: Schema.NullOr(Schema.String)
})

export interface EngineOptions {
  readonly host: Host
  readonly sources: Sources
  /** Waits of automations are this many times shorter than they are written. */
  readonly clockScale: number
  /** Where hooks ask about their rollout, and with which token. Waited for: the API begins to listen after the engine is there. */
  readonly hookEnvironment: Effect.Effect<Readonly<Record<string, string>>>
}

/** What the host or the database could not do for a moment is tried again; the workflow does not end by it. */
const patiently = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.tapError((error) => Effect.logWarning(`the rollout engine tries again: ${error.message}`)),
    Effect.retry(Schedule.spaced("1 second")),
    Effect.orDie
  )

const rolloutLayer = (options: EngineOptions) =>
  RolloutWorkflow.toLayer(({ name }) =>
    Effect.gen(function* () {
      const rollouts = yield* Rollouts
      const store = yield* Store
      for (let number = 0; ; number++) {
        const { tag, jobRun } = yield* Activity.make({
          name: `step/${number}`,
          success: Next,
          execute: patiently(rollouts.step(name, number))
        })
        if (tag === "Done") return
        if (tag === "Wait" || jobRun === null) {
          yield* DurableDeferred.await(wakeAt(number))
          continue
        }
        yield* Activity.make({
          name: `run/${number}`,
          execute: Effect.gen(function* () {
            const outcome = yield* patientlyOnHost(JobRunner.run(jobRun, { ...options, store }))
            yield* patiently(rollouts.finish(jobRun, outcome.state, outcome.reason, outcome.log))
          })
        })
      }
    })
  )

/** A release whose files can't be carried out fails its job; a host that is gone is waited for. */
const patientlyOnHost = (effect: ReturnType<typeof JobRunner.run>) =>
  patiently(
    effect.pipe(
      Effect.catchIf(
        (error) => error._tag === "ToolFailed" || (error._tag === "HostFailed" && !error.gone),
        ({ message }) =>
          Effect.succeed<JobRunner.Outcome>({ state: "FAILED", reason: message, log: message.split("\n") })
      )
    )
  )

const automationLayer = AutomationWorkflow.toLayer(({ name, waitMs }) =>
  Effect.gen(function* () {
    const rollouts = yield* Rollouts
    // However short: a sleep in memory would begin anew with every server.
    if (waitMs > 0) yield* DurableClock.sleep({ name: "wait", duration: waitMs, inMemoryThreshold: 1 })
    yield* Activity.make({ name: "act", execute: patiently(rollouts.act(name)) })
  })
)

/**
 * Brings durable work in line with the resources: starts what was created, wakes what may go on. Looks after every change
 * and each second, so nothing depends on a message that a killed server could not send.
 */
const reconciler = (options: EngineOptions) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const store = yield* Store
      const engine = yield* WorkflowEngine.WorkflowEngine
      const changed = yield* Queue.sliding<void>(1)
      const started = new Set<string>()
      const off = store.onChange(() => changed.unsafeOffer(undefined))
      yield* Effect.addFinalizer(() => Effect.sync(off))

      const once = (name: string, start: Effect.Effect<unknown, never, WorkflowEngine.WorkflowEngine>) =>
        started.has(name)
          ? Effect.void
          : Effect.zipRight(
              start,
              Effect.sync(() => started.add(name))
            )

      const rollouts = yield* Rollouts
      const look = Effect.gen(function* () {
        yield* rollouts.timed(options.clockScale)
        for (const { resource, inner } of yield* store.open("rollouts", ["SUCCEEDED"])) {
          const rollout = resource as Rollout
          const waiting = typeof inner.wait === "number"
          if (isOver(rollout) && !waiting) continue
          yield* once(rollout.name, RolloutWorkflow.execute({ name: rollout.name }, { discard: true }))
          if (!waiting) continue
          if (next(rollout, yield* rollouts.mayWork(rollout), "")._tag === "Wait") continue
          const deferred = wakeAt(inner.wait as number)
          const token = DurableDeferred.tokenFromExecutionId(deferred, {
            workflow: RolloutWorkflow,
            executionId: yield* RolloutWorkflow.executionId({ name: rollout.name })
          })
          yield* DurableDeferred.done(deferred, { token, exit: Exit.void })
        }
        for (const { resource } of yield* store.open("automationRuns", [
          "SUCCEEDED",
          "FAILED",
          "CANCELLED",
          "ABORTED"
        ])) {
          const run = resource as AutomationRun
          const waitMs = Number(run["waitMs"] ?? 0) / options.clockScale
          yield* once(run.name, AutomationWorkflow.execute({ name: run.name, waitMs }, { discard: true }))
        }
      }).pipe(
        Effect.provideService(WorkflowEngine.WorkflowEngine, engine),
        Effect.catchAll((error: GoogleError) => Effect.logWarning(error.message)),
        Effect.catchAllDefect((defect) => Effect.logError("the engine could not look at its rollouts", defect))
      )
      yield* Queue.take(changed).pipe(
        Effect.timeoutOption("1 second"),
        Effect.zipRight(look),
        Effect.forever,
        Effect.forkScoped
      )
    })
  )

/** The engine. Needs a database of its own; makes its tables there. */
export const layer = (options: EngineOptions) =>
  reconciler(options).pipe(
    Layer.provide(Layer.mergeAll(rolloutLayer(options), automationLayer)),
    Layer.provideMerge(Rollouts.Default),
    Layer.provideMerge(Store.Default),
    Layer.provideMerge(
      ClusterWorkflowEngine.layer.pipe(
        Layer.provideMerge(
          SingleRunner.layer({
            runnerStorage: "memory",
            shardingConfig: {
              shardsPerGroup: 4,
              entityMessagePollInterval: 500,
              entityTerminationTimeout: 1_000,
              sendRetryInterval: 50
            }
          })
        )
      )
    )
  )
