/** The event log with its metrics: every start, first token and end passes through it, whoever wrote it. */
import { Clock, Effect, Layer, Metric, Option } from "effect"
import { isTerminal } from "../domain/Event.ts"
import { EventLog, type RunKey } from "../domain/EventLog.ts"
import { completionSeconds, firstTokenSeconds, runsFinished, runsStarted } from "../domain/Metrics.ts"
import type { RunView } from "../domain/Run.ts"

const statuses = { Completed: "completed", Failed: "failed", Cancelled: "cancelled" } as const

/** Runs whose acceptance this process remembers. Others are asked for: a query a run, beside the run's way. */
const REMEMBERED = 1_000

const make = Effect.gen(function* () {
  const log = yield* EventLog
  const acceptedAt = new Map<string, number>()
  const remember = (run: RunView) => {
    const oldest = acceptedAt.keys().next()
    if (acceptedAt.size >= REMEMBERED && !oldest.done) acceptedAt.delete(oldest.value)
    acceptedAt.set(run.executionId, run.acceptedAt.getTime())
  }

  /** How long ago the run was accepted. Asked in a fiber of its own: no step waits for a metric. */
  const since = (run: RunKey, metric: typeof firstTokenSeconds) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (!acceptedAt.has(run.executionId)) {
        Option.map(yield* log.run(run.tenantId, run.runId), remember)
      }
      const accepted = acceptedAt.get(run.executionId)
      if (accepted !== undefined) yield* Metric.update(metric, Math.max(0, now - accepted) / 1_000)
    }).pipe(Effect.ignore, Effect.forkDaemon)

  return EventLog.of({
    ...log,
    accept: (run) =>
      log.accept(run).pipe(
        Effect.tap((accepted) => {
          remember(accepted.run)
          return Metric.increment(runsStarted)
        })
      ),
    append: (run, entries) =>
      log.append(run, entries).pipe(
        Effect.tap(({ open }) =>
          Effect.gen(function* () {
            if (!open) return
            for (const { event, sequence, step } of entries) {
              if (event._tag === "Token" && step === "model" && sequence === 0) yield* since(run, firstTokenSeconds)
              if (!isTerminal(event)) continue
              const status = statuses[event._tag as keyof typeof statuses]
              yield* Metric.increment(Metric.tagged(runsFinished, "status", status))
              yield* since(run, completionSeconds)
            }
          })
        )
      )
  })
})

export const layer: <E, R>(log: Layer.Layer<EventLog, E, R>) => Layer.Layer<EventLog, E, R> = (log) =>
  Layer.effect(EventLog, make).pipe(Layer.provide(log))
