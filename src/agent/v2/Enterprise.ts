/**
 * The second version of a run once more, for tenants of the tier `enterprise`: the same steps under a name and in a shard group of
 * its own, so that an environment can give these runs runners of their own.
 *
 * A name of its own, since every process must find an execution's group without asking: the name says it, and the run's row
 * says the name, whatever becomes of the tenant's tier meanwhile.
 */
import { ENTERPRISE } from "../../domain/Ids.ts"
import { RunFailed } from "../../domain/Run.ts"
import { Answer } from "../AgentWorkflow.ts"
import { declare } from "../Declaration.ts"
import { agentWorkflowV2 } from "./AgentWorkflow.ts"

export const agentWorkflowV2Enterprise = declare({
  name: "AgentWorkflowV2Enterprise",
  payload: agentWorkflowV2.workflow.payloadSchema,
  success: Answer,
  error: RunFailed,
  idempotencyKey: ({ tenantId, runId }) => `${tenantId}/${runId}`,
  shardGroup: () => ENTERPRISE,
  activities: agentWorkflowV2.activities,
  deferreds: agentWorkflowV2.deferreds,
  clocks: agentWorkflowV2.clocks
})
