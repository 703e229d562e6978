/**
 * Keeps the engine's tables bounded, and says when something in them is poisoned. One runner of all does it.
 *
 * A shard at a time with a pause: a full turn over the 300 shards of a group takes ten minutes, and the load is the same small one all
 * day.
 */
import { Singleton } from "@effect/cluster"
import type { Sharding } from "@effect/cluster/Sharding"
import type { SqlClient } from "@effect/sql/SqlClient"
import { Effect, type Layer, Metric } from "effect"
import * as EngineTables from "../data/EngineTables.ts"
import { engineRowsRemoved, poisonedMessages } from "../domain/Metrics.ts"

const PAUSE = "2 seconds"

/** Batches of one shard before the next one has its turn: 2,000 executions in each turn of a shard. */
const BATCHES = 20

const visit = (shardId: string, known: Map<string, ReadonlySet<string>>) =>
  Effect.gen(function* () {
    for (let batch = 0; batch < BATCHES; batch++) {
      const { executions, messages } = yield* EngineTables.removeFrom(shardId)
      yield* Metric.incrementBy(engineRowsRemoved, messages)
      if (executions < EngineTables.BATCH) break
    }
    const found = yield* EngineTables.poisonedOn(shardId)
    const before = known.get(shardId)
    for (const { messageId, tag, workflow, executionId, tenantId, runId } of found) {
      if (before?.has(messageId)) continue
      yield* Effect.logError(`A ${tag} of an open execution is poisoned: it waits for "deliver engine repair"`).pipe(
        Effect.annotateLogs({
          execution: executionId,
          workflow,
          ...(tenantId === null ? {} : { tenant: tenantId }),
          ...(runId === null ? {} : { run: runId })
        })
      )
    }
    known.set(shardId, new Set(found.map(({ messageId }) => messageId)))
    yield* Metric.set(
      poisonedMessages,
      [...known.values()].reduce((sum, each) => sum + each.size, 0)
    )
  }).pipe(Effect.catchAllCause((cause) => Effect.logWarning("Could not look after the engine's tables", cause)))

const turn = (known: Map<string, ReadonlySet<string>>) =>
  EngineTables.shards.pipe(
    Effect.tap((shards) => {
      for (const shard of known.keys()) if (!shards.includes(shard)) known.delete(shard)
    }),
    Effect.flatMap(Effect.forEach((shard) => Effect.andThen(visit(shard, known), Effect.sleep(PAUSE)))),
    Effect.catchAllCause((cause) => Effect.logWarning("Could not list the shards of the engine's tables", cause)),
    Effect.andThen(Effect.sleep(PAUSE))
  )

export const layer: Layer.Layer<never, never, Sharding | SqlClient> = Singleton.make(
  "EngineLife",
  Effect.suspend(() => Effect.forever(turn(new Map()))).pipe(
    // The runner that goes on with it counts anew.
    Effect.ensuring(Metric.set(poisonedMessages, 0))
  )
)
