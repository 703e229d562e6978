/** Asks the cluster whether an execution's shard is still this runner's. */
import { ClusterSchema, EntityId, Sharding } from "@effect/cluster"
import { Context, Effect, Layer } from "effect"
import { Handover } from "../agent/Handover.ts"

export const layer: Layer.Layer<Handover, never, Sharding.Sharding> = Layer.effect(
  Handover,
  Effect.map(Sharding.Sharding, (sharding) => ({
    leaving: (workflow, executionId) =>
      Effect.sync(() => {
        const id = EntityId.make(executionId)
        const group = Context.get(workflow.annotations, ClusterSchema.ShardGroup)(id)
        return !sharding.hasShardId(sharding.getShardId(id, group))
      })
  }))
)
