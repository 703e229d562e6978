/**
 * The second version of a run. It may follow its answer up: the execution sleeps, for days if need be, and asks the model
 * once more. The first version stays beside it (`../AgentWorkflow.ts`): executions that it began go on under it, and starts
 * get it for as long as a runner lives that does not carry this one (`../versions.ts`).
 */
import { DurableDeferred } from "@effect/workflow"
import { Schema } from "effect"
import { RunFailed } from "../../domain/Run.ts"
import { Answer, agentWorkflow, Plan as FirstPlan, StepFailed, ToolOutcome } from "../AgentWorkflow.ts"
import { declare } from "../Declaration.ts"

export const FollowUp = Schema.Struct({ afterSeconds: Schema.NonNegativeInt, message: Schema.String })
export type FollowUp = typeof FollowUp.Type

export const Plan = Schema.Struct({
  ...FirstPlan.fields,
  /** What the model is asked again, and how long after its first answer. */
  followUp: Schema.optionalWith(FollowUp, { exact: true })
})
export type Plan = typeof Plan.Type

export const agentWorkflowV2 = declare({
  name: "AgentWorkflowV2",
  payload: agentWorkflow.workflow.payloadSchema,
  success: Answer,
  error: RunFailed,
  idempotencyKey: ({ tenantId, runId }) => `${tenantId}/${runId}`,
  activities: {
    plan: { name: "Plan", success: Plan, error: StepFailed },
    callModel: { name: "CallModel", success: Answer, error: StepFailed },
    callTool: { name: "CallTool", success: ToolOutcome, error: StepFailed, keyed: true },
    /** Keyed by the call's id. Asked for in a run that fails, of each call that succeeded, the last one first. */
    undoTool: { name: "UndoTool", success: Schema.Void, error: StepFailed, keyed: true },
    requestApproval: { name: "RequestApproval", success: Schema.Void, error: StepFailed },
    recordApproval: { name: "RecordApproval", success: Schema.Void, error: StepFailed },
    followUp: { name: "FollowUp", success: Answer, error: StepFailed },
    recordUsage: { name: "RecordUsage", success: Schema.Void, error: StepFailed },
    complete: { name: "Complete", success: Schema.Void, error: StepFailed },
    fail: { name: "Fail", success: Schema.Void, error: StepFailed }
  },
  deferreds: {
    approval: DurableDeferred.make("Approval", { success: Schema.Struct({ by: Schema.String }) })
  },
  clocks: {
    untilFollowUp: { name: "UntilFollowUp" }
  }
})
