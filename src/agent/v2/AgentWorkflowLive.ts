/**
 * How a run goes in its second version: as in the first, and a follow-up at its end when the plan has one. When it fails for
 * good it takes back what its tools did. A cancelled run keeps it: whoever cancels knows what was done, and no more.
 */
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, Layer } from "effect"
import type { EventLog, RunKey } from "../../domain/EventLog.ts"
import type { Answer, PlannedCall } from "../AgentWorkflow.ts"
import { accounted, onCancelled } from "../ending.ts"
import type { Model } from "../model/Model.ts"
import * as step from "../steps.ts"
import type { Tools } from "../tools/Tools.ts"
import { agentWorkflowV2 } from "./AgentWorkflow.ts"
import { agentWorkflowV2Enterprise } from "./Enterprise.ts"

const both = (first: Answer, second: Answer): Answer => ({
  text: `${first.text}\n${second.text}`,
  inputTokens: first.inputTokens + second.inputTokens,
  outputTokens: first.outputTokens + second.outputTokens
})

const carriedOut = (declaration: typeof agentWorkflowV2) =>
  declaration.toLayer(
    (payload, steps, executionId) => {
      const { name } = declaration.workflow
      const run: RunKey = { ...payload, executionId }
      const done: Array<{ readonly call: PlannedCall; readonly output: string }> = []
      /** Says how many could not be taken back. */
      const compensate = Effect.suspend(() =>
        Effect.reduce(done.toReversed(), 0, (left, { call, output }) =>
          steps.undoTool(call.call, step.undoTool(run, call, output)).pipe(
            Effect.as(left),
            Effect.catchAll((error) =>
              Effect.as(Effect.logError(`A call of tool ${call.tool} could not be undone`, error), left + 1)
            )
          )
        )
      )
      const body = Effect.gen(function* () {
        const plan = yield* steps.plan(step.plan(run, payload))
        let answer = yield* steps.callModel(step.callModel(run, payload))
        for (const call of plan.calls) {
          const { outcome, output } = yield* steps.callTool(call.call, step.callTool(run, call))
          if (outcome === "ok") done.push({ call, output })
        }
        if (plan.approval !== undefined) {
          yield* steps.requestApproval(step.requestApproval(run, plan.approval))
          const { by } = yield* steps.approval
          yield* steps.recordApproval(step.recordApproval(run, by))
        }
        if (plan.followUp !== undefined) {
          const { afterSeconds, message } = plan.followUp
          yield* steps.untilFollowUp(`${afterSeconds} seconds`)
          answer = both(answer, yield* steps.followUp(step.callModel(run, { ...payload, message }, "follow-up")))
        }
        yield* steps.recordUsage(step.recordUsage(run, payload.model, answer))
        yield* steps.complete(step.end(run, { _tag: "Completed", ...answer }))
        return answer
      })
      return accounted(body, { run, payload, workflow: name, fail: steps.fail, compensate })
    },
    { onCancelled }
  )

export const layer: Layer.Layer<never, never, WorkflowEngine | EventLog | Model | Tools> = Layer.merge(
  carriedOut(agentWorkflowV2),
  // Other than by name and group it is the same.
  carriedOut(agentWorkflowV2Enterprise as unknown as typeof agentWorkflowV2)
)
