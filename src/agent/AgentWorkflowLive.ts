/** How a run goes: plan, ask the model, call tools, wait for a person if one is needed, account for it, end. */
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, type Layer } from "effect"
import type { EventLog, RunKey } from "../domain/EventLog.ts"
import { agentWorkflow } from "./AgentWorkflow.ts"
import { accounted, onCancelled } from "./ending.ts"
import type { Model } from "./model/Model.ts"
import * as step from "./steps.ts"
import type { Tools } from "./tools/Tools.ts"

const { name } = agentWorkflow.workflow

export const layer: Layer.Layer<never, never, WorkflowEngine | EventLog | Model | Tools> = agentWorkflow.toLayer(
  (payload, steps, executionId) => {
    const run: RunKey = { ...payload, executionId }
    const body = Effect.gen(function* () {
      const plan = yield* steps.plan(step.plan(run, payload))
      const answer = yield* steps.callModel(step.callModel(run, payload))
      for (const call of plan.calls) {
        yield* steps.callTool(call.call, step.callTool(run, call))
      }
      if (plan.approval !== undefined) {
        yield* steps.requestApproval(step.requestApproval(run, plan.approval))
        const { by } = yield* steps.approval
        yield* steps.recordApproval(step.recordApproval(run, by))
      }
      yield* steps.recordUsage(step.recordUsage(run, payload.model, answer))
      yield* steps.complete(step.end(run, { _tag: "Completed", ...answer }))
      return answer
    })
    return accounted(body, { run, payload, workflow: name, fail: steps.fail })
  },
  { onCancelled }
)
