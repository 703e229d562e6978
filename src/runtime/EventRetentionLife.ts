/**
 * Keeps events for as long as their tenant's tier says, and has the coming days' partitions ready. One runner of all does it;
 * `deliver events keep` does the same once.
 */
import { Singleton } from "@effect/cluster"
import type { Sharding } from "@effect/cluster/Sharding"
import type { SqlClient } from "@effect/sql/SqlClient"
import { Effect, type Layer } from "effect"
import * as EventRetention from "../events/EventRetention.ts"

const PAUSE = "1 minute"

/** Runs moved in one turn: three times what a day of one run a second leaves for it. */
const RUNS = 200

const turn = EventRetention.keep(RUNS).pipe(
  Effect.tap(({ made, dropped }) =>
    made.length + dropped.length === 0
      ? Effect.void
      : Effect.logInfo("Partitions of events were made and dropped").pipe(
          Effect.annotateLogs({ made: made.join(" "), dropped: dropped.join(" ") })
        )
  ),
  Effect.catchAllCause((cause) => Effect.logWarning("Could not look after the retention of events", cause)),
  Effect.andThen(Effect.sleep(PAUSE))
)

export const layer: Layer.Layer<never, never, Sharding | SqlClient> = Singleton.make(
  "EventRetention",
  Effect.forever(turn)
)
