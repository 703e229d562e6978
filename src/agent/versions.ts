/**
 * The versions of a run's workflow that this release carries, newest first, seen alike. Which one a new run gets is decided
 * where the run is recorded (`EventLog.accept`); from then on the run's row says it.
 */
import { DurableDeferred } from "@effect/workflow"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect } from "effect"
import type { WorkflowVersion } from "../domain/EventLog.ts"
import { DEFAULT_GROUP, ENTERPRISE } from "../domain/Ids.ts"
import { type AgentWorkflowPayload, agentWorkflow } from "./AgentWorkflow.ts"
import { agentWorkflowV2 } from "./v2/AgentWorkflow.ts"
import { agentWorkflowV2Enterprise } from "./v2/Enterprise.ts"

const versions: Readonly<Record<string, typeof agentWorkflow>> = {
  [agentWorkflowV2Enterprise.workflow.name]: agentWorkflowV2Enterprise as unknown as typeof agentWorkflow,
  [agentWorkflowV2.workflow.name]: agentWorkflowV2 as unknown as typeof agentWorkflow,
  [agentWorkflow.workflow.name]: agentWorkflow
}

/** Those of one tier's tenants alone. They stand before the version that everybody may have, which they get while a runner lacks theirs. */
const tiers: Readonly<Record<string, string>> = { [agentWorkflowV2Enterprise.workflow.name]: ENTERPRISE }

/** What this payload would be under each version. */
export const versionsOf = (payload: AgentWorkflowPayload): Effect.Effect<ReadonlyArray<WorkflowVersion>> =>
  Effect.forEach(Object.values(versions), ({ workflow: { name, executionId } }) =>
    Effect.map(executionId(payload), (id) => ({
      workflow: name,
      executionId: id,
      ...(tiers[name] === undefined ? {} : { tier: tiers[name] })
    }))
  )

/** A run's row names a version that this process must carry: a runner that does not has refused to join the ring. */
const named = (name: string) => {
  const declaration = versions[name]
  return declaration === undefined
    ? Effect.dieMessage(`This release does not carry workflow ${name}, so it can't serve its runs`)
    : Effect.succeed(declaration)
}

/** The names of those whose executions lie in this shard group: a tier's own group is called as the tier. */
export const workflowsIn = (group: string): ReadonlyArray<string> =>
  Object.keys(versions).filter((name) => (tiers[name] ?? DEFAULT_GROUP) === group)

/** Starts the execution; one that was started before is left as it is. */
export const start = (name: string, payload: AgentWorkflowPayload): Effect.Effect<void, never, WorkflowEngine> =>
  Effect.flatMap(named(name), ({ workflow }) => workflow.execute(payload, { discard: true }))

export const interrupt = (name: string, executionId: string): Effect.Effect<void, never, WorkflowEngine> =>
  Effect.flatMap(named(name), ({ workflow }) => workflow.interrupt(executionId))

/** Of two approvals the first counts: the engine keeps one. */
export const approve = (name: string, executionId: string, by: string): Effect.Effect<void, never, WorkflowEngine> =>
  Effect.flatMap(named(name), ({ workflow, deferreds: { approval } }) =>
    DurableDeferred.succeed(approval, {
      token: DurableDeferred.tokenFromExecutionId(approval, { workflow, executionId }),
      value: { by }
    })
  )
