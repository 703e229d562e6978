/**
 * Whether this process still holds a shard, for what lies below `Sharding` and can't ask it: the storage on which it is built.
 * Until `connected` is there, and in a process that carries none, the answer is yes.
 */
import { type ShardId, Sharding } from "@effect/cluster"
import { Context, Effect, Layer } from "effect"

export class Holding extends Context.Tag("runtime/Holding")<Holding, { has: (shard: ShardId.ShardId) => boolean }>() {}

export const layer: Layer.Layer<Holding> = Layer.sync(Holding, () => ({ has: () => true }))

/** For good: a process that stops holds nothing any more, and what it still tries to store must not wait as if it did. */
export const connected: Layer.Layer<never, never, Holding | Sharding.Sharding> = Layer.effectDiscard(
  Effect.gen(function* () {
    const holding = yield* Holding
    holding.has = (yield* Sharding.Sharding).hasShardId
  })
)
