/**
 * The durable parts of a run of an agent. Everything here is a promise to executions that are under way: renaming or
 * reshaping one is refused by the workflow gate while an execution needs the old form. What the steps do is in
 * `AgentWorkflowLive.ts` and may change freely.
 */
import { DurableDeferred } from "@effect/workflow"
import { Schema } from "effect"
import { RunId, SessionId, TenantId } from "../domain/Ids.ts"
import { RunFailed } from "../domain/Run.ts"
import { declare } from "./Declaration.ts"

export const PlannedCall = Schema.Struct({ call: Schema.String, tool: Schema.String, input: Schema.String })
export type PlannedCall = typeof PlannedCall.Type

export const Plan = Schema.Struct({
  calls: Schema.Array(PlannedCall),
  /** Why a person must agree before the run completes; absent when nobody must. */
  approval: Schema.optionalWith(Schema.String, { exact: true })
})
export type Plan = typeof Plan.Type

export const Answer = Schema.Struct({
  text: Schema.String,
  inputTokens: Schema.NonNegativeInt,
  outputTokens: Schema.NonNegativeInt
})
export type Answer = typeof Answer.Type

export const ToolOutcome = Schema.Struct({ outcome: Schema.Literal("ok", "refused", "failed"), output: Schema.String })
export type ToolOutcome = typeof ToolOutcome.Type

/** What a step answers that failed. `retryable` ones are tried again, a bounded number of times. */
export class StepFailed extends Schema.TaggedError<StepFailed>()("StepFailed", {
  code: Schema.Literal("model-failed", "tool-failed", "cancelled", "internal"),
  message: Schema.String,
  retryable: Schema.Boolean
}) {}

export const agentWorkflow = declare({
  name: "AgentWorkflow",
  payload: Schema.Struct({
    tenantId: TenantId,
    sessionId: SessionId,
    runId: RunId,
    message: Schema.String,
    model: Schema.String
  }),
  success: Answer,
  error: RunFailed,
  /** Tenant and run id: a start that is sent again finds the execution that the first one made. */
  idempotencyKey: ({ tenantId, runId }) => `${tenantId}/${runId}`,
  activities: {
    plan: { name: "Plan", success: Plan, error: StepFailed },
    callModel: { name: "CallModel", success: Answer, error: StepFailed },
    /** Keyed by the call's id. A tool that fails is an outcome, not a failure: the workflow goes on. */
    callTool: { name: "CallTool", success: ToolOutcome, error: StepFailed, keyed: true },
    requestApproval: { name: "RequestApproval", success: Schema.Void, error: StepFailed },
    recordApproval: { name: "RecordApproval", success: Schema.Void, error: StepFailed },
    recordUsage: { name: "RecordUsage", success: Schema.Void, error: StepFailed },
    complete: { name: "Complete", success: Schema.Void, error: StepFailed },
    fail: { name: "Fail", success: Schema.Void, error: StepFailed }
  },
  deferreds: {
    approval: DurableDeferred.make("Approval", { success: Schema.Struct({ by: Schema.String }) })
  }
})

export type AgentWorkflowPayload = typeof agentWorkflow.workflow.payloadSchema.Type
