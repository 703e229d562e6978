/**
 * This release's workflow functions for the replay: the very layers that a runner registers, with services that no one may
 * call. A workflow that is added to a runner is added here as well; the gate refuses a declared one that is not.
 */
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Layer } from "effect"
import * as AgentWorkflowLive from "../../agent/AgentWorkflowLive.ts"
import { Model } from "../../agent/model/Model.ts"
import { Tools } from "../../agent/tools/Tools.ts"
import * as AgentWorkflowV2Live from "../../agent/v2/AgentWorkflowLive.ts"
import { EventLog } from "../../domain/EventLog.ts"
import * as Forbidden from "../../gates/workflows/replay/Forbidden.ts"
import * as Queues from "../../gates/workflows/replay/Queues.ts"

export const handlers: Layer.Layer<never, never, WorkflowEngine> = Layer.mergeAll(
  AgentWorkflowLive.layer,
  AgentWorkflowV2Live.layer
).pipe(Layer.provide([Forbidden.layer(EventLog), Forbidden.layer(Model), Forbidden.layer(Tools), Queues.layer]))
