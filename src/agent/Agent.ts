/** The entity that owns a session: one at a time in the whole cluster, so the calls of a session are carried out in turn. */
import { ClusterSchema, Entity } from "@effect/cluster"
import { AgentRpcs } from "../domain/AgentRpcs.ts"
import { shardGroupOf } from "../domain/Ids.ts"

/**
 * Its id is `agentEntityId(tenant, session, group)`. Sessions of a tier with a pool of runners of its own lie in the group of that
 * pool, so that their calls are answered whatever becomes of the other runners.
 */
export const Agent = Entity.fromRpcGroup("Agent", AgentRpcs).annotate(ClusterSchema.ShardGroup, shardGroupOf)
