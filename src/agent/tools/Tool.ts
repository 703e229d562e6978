/** What a tool is, and what a model is told of it. */
import type { Effect } from "effect"
import type { RunKey } from "../../domain/EventLog.ts"

export interface ToolSpec {
  readonly name: string
  /** For a model: what it is good for. */
  readonly description: string
  /** For a model: what its one argument holds. */
  readonly input: string
}

/** Whose call it is. */
export type ToolCaller = Pick<RunKey, "tenantId" | "executionId">

/** Carried out with what a policy allows. A failure is told to the run in words; it must not quote what it was not given. */
export interface Tool<R> extends ToolSpec {
  /** Why its policy refuses this input, before anything is done. */
  readonly refuses?: (input: string, call: ToolCall) => string | undefined
  readonly run: (input: string, call: ToolCall) => Effect.Effect<string, string, R>
  /** Takes a call back that answered `output`, when its run has failed. Whoever undoes twice must undo once. */
  readonly undo?: (input: string, output: string, call: ToolCall) => Effect.Effect<string, string, R>
}

export interface ToolCall {
  /** Never from the input: a model names no tenant. */
  readonly run: ToolCaller
  /** The same for every run of this call: an effect elsewhere is done once. */
  readonly idempotencyKey: string
  /** Hosts that the tenant's policy lets tools reach. */
  readonly hosts: ReadonlyArray<string>
}
