/** The records with the delay of events measured: from their recording to their way to a client. */
import { Clock, Effect, Layer, Metric, Stream } from "effect"
import { eventDelaySeconds } from "../domain/Metrics.ts"
import { Records } from "./Ports.ts"

export const layer: <E, R>(records: Layer.Layer<Records, E, R>) => Layer.Layer<Records, E, R> = (records) =>
  Layer.effect(
    Records,
    Effect.map(Records, (inner) =>
      Records.of({
        ...inner,
        follow: (session, after) =>
          Stream.unwrap(
            Effect.map(Clock.currentTimeMillis, (since) =>
              inner.follow(session, after).pipe(
                Stream.tap(({ occurredAt }) =>
                  // What was there before the client came has no delay: it is replayed.
                  occurredAt.getTime() < since
                    ? Effect.void
                    : Effect.flatMap(Clock.currentTimeMillis, (now) =>
                        Metric.update(eventDelaySeconds, Math.max(0, now - occurredAt.getTime()) / 1_000)
                      )
                )
              )
            )
          )
      })
    )
  ).pipe(Layer.provide(records))
