/**
 * Keeps events for as long as their tenant's tier says, and has the coming days' partitions ready. One runner of all does it;
 * `deliver events keep` does the same once.
 */
import { Singleton } from "@effect/cluster"
import type { Sharding } from "@effect/cluster/Sharding"
import type { SqlClient } from "@effect/sql/SqlClient"
import { Effect, type Layer, Metric } from "effect"
import { eventRetentionLagSeconds, eventsMoved } from "../domain/Metrics.ts"
import * as EventRetention from "../events/EventRetention.ts"

const PAUSE = "1 minute"

/** Partitions are looked after between: also while there is more to move than a minute can. */
const WITHIN = "1 minute"

const turn = EventRetention.keep({ within: WITHIN }).pipe(
  Effect.tap(({ made, dropped }) =>
    made.length + dropped.length === 0
      ? Effect.void
      : Effect.logInfo("Partitions of events were made and dropped").pipe(
          Effect.annotateLogs({ made: made.join(" "), dropped: dropped.join(" ") })
        )
  ),
  Effect.tap(({ events }) => Metric.incrementBy(eventsMoved, events)),
  Effect.tap(Effect.flatMap(EventRetention.lagSeconds, (seconds) => Metric.set(eventRetentionLagSeconds, seconds))),
  Effect.map(({ done }) => done),
  Effect.catchAllCause((cause) =>
    Effect.as(Effect.logWarning("Could not look after the retention of events", cause), true)
  ),
  // What is left is gone on with at once; a release that reads no moved events leaves all of it, and asks no more of the database.
  Effect.flatMap((done) => (done ? Effect.sleep(PAUSE) : Effect.void))
)

export const layer: Layer.Layer<never, never, Sharding | SqlClient> = Singleton.make(
  "EventRetention",
  Effect.forever(turn).pipe(
    // The runner that goes on with it measures anew.
    Effect.ensuring(Metric.set(eventRetentionLagSeconds, 0))
  )
)
