/**
 * Reads messages again that were read and not begun.
 *
 * A runner marks the messages that it reads, and the library reads a marked one again only after ten minutes. The mark may be
 * all that is left: the connection broke after the commit and before the answer, the runner lost the shard while it read, or
 * a runner that was frozen read once more for a shard that has long been another's. New owners of a shard clear its marks,
 * but once, and not when the database is slow just then. So marks are cleared from time to time on the shards held here:
 * what is at work in this process is skipped by the library when it is read a second time.
 */
import { MessageStorage, ShardId, Sharding, ShardingConfig } from "@effect/cluster"
import { Effect, Layer, Schedule } from "effect"

/** What a run waits at worst for a message that went astray. Costs two updates of each open message's row. */
const INTERVAL = "5 seconds"

export const layer: Layer.Layer<
  never,
  never,
  Sharding.Sharding | MessageStorage.MessageStorage | ShardingConfig.ShardingConfig
> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const sharding = yield* Sharding.Sharding
    const storage = yield* MessageStorage.MessageStorage
    const { availableShardGroups, shardsPerGroup } = yield* ShardingConfig.ShardingConfig
    const shards = availableShardGroups.flatMap((group) =>
      Array.from({ length: shardsPerGroup }, (_, index) => ShardId.make(group, index + 1))
    )
    yield* Effect.suspend(() => {
      const held = shards.filter((shard) => sharding.hasShardId(shard))
      return held.length === 0 ? Effect.void : storage.resetShards(held)
    }).pipe(
      Effect.catchAllCause((cause) => Effect.logDebug("Could not clear the marks of messages", cause)),
      Effect.schedule(Schedule.spaced(INTERVAL)),
      Effect.forkScoped
    )
  })
)
