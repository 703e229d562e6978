/**
 * Everything durable that this release carries. The surface, the gates and each runner's row in `agents.runners` are made
 * from these two lists.
 */
import type { EntityId } from "@effect/cluster"
import type { Rpc } from "@effect/rpc"
import { Agent } from "./Agent.ts"
import { agentWorkflow } from "./AgentWorkflow.ts"
import { type AnyDeclaration, activityName } from "./Declaration.ts"
import { agentWorkflowV2 } from "./v2/AgentWorkflow.ts"
import { agentWorkflowV2Enterprise } from "./v2/Enterprise.ts"

export const declarations: ReadonlyArray<AnyDeclaration> = [agentWorkflow, agentWorkflowV2, agentWorkflowV2Enterprise]

export interface AnyEntity {
  readonly type: string
  readonly protocol: { readonly requests: ReadonlyMap<string, Rpc.AnyWithProps> }
  /** The group of shards in which one of its lives. */
  readonly getShardGroup: (entityId: EntityId.EntityId) => string
}

export const entities: ReadonlyArray<AnyEntity> = [
  {
    type: Agent.type,
    protocol: Agent.protocol as unknown as AnyEntity["protocol"],
    getShardGroup: Agent.getShardGroup
  }
]

/** The names alone: what `agents.runners.carries` holds. Names of keyed activities end in `#*`. */
export interface Carries {
  readonly workflows: Readonly<
    Record<
      string,
      {
        readonly activities: ReadonlyArray<string>
        readonly deferreds: ReadonlyArray<string>
        readonly clocks: ReadonlyArray<string>
        readonly queues: ReadonlyArray<string>
      }
    >
  >
  readonly entities: Readonly<Record<string, ReadonlyArray<string>>>
}

export const carries: Carries = {
  workflows: Object.fromEntries(
    declarations.map(({ workflow, activities, deferreds, clocks, queues }) => [
      workflow.name,
      {
        activities: Object.values(activities).map((activity) =>
          activityName(activity, activity.keyed ? "*" : undefined)
        ),
        deferreds: Object.values(deferreds).map(({ name }) => name),
        clocks: Object.values(clocks).map(({ name }) => name),
        queues: Object.values(queues).map(({ name }) => name)
      }
    ])
  ),
  entities: Object.fromEntries(entities.map(({ type, protocol }) => [type, [...protocol.requests.keys()]]))
}
