/** The records with the delay of events measured: from their recording to their way to a client. */
import { Clock, Effect, Layer, Metric } from "effect"
import { eventDelaySeconds } from "../domain/Metrics.ts"
import { Records } from "./Ports.ts"

export const layer: <E, R>(records: Layer.Layer<Records, E, R>) => Layer.Layer<Records, E, R> = (records) =>
  Layer.effect(
    Records,
    Effect.map(Effect.all([Records, Clock.clockWith(Effect.succeed)]), ([inner, clock]) =>
      Records.of({
        ...inner,
        next: (session, after, atOnce) =>
          Effect.suspend(() => {
            // What was there before a client came has no delay: it is replayed.
            const since = atOnce ? clock.unsafeCurrentTimeMillis() : 0
            return Effect.tap(inner.next(session, after, atOnce), ({ events }) => {
              const now = clock.unsafeCurrentTimeMillis()
              return Effect.forEach(
                events.filter(({ occurredAt }) => occurredAt.getTime() >= since),
                ({ occurredAt }) => Metric.update(eventDelaySeconds, Math.max(0, now - occurredAt.getTime()) / 1_000),
                { discard: true }
              )
            })
          })
      })
    )
  ).pipe(Layer.provide(records))
