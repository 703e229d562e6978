/** The entity that owns a session: one at a time in the whole cluster, so the calls of a session are carried out in turn. */
import { Entity } from "@effect/cluster"
import { AgentRpcs } from "../domain/AgentRpcs.ts"

/** Its id is `agentEntityId(tenant, session)`. */
export const Agent = Entity.fromRpcGroup("Agent", AgentRpcs)
