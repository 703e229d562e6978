/** The model that an agent asks. One service, so that which model answers is a matter of wiring. */
import { Context, Data, type Effect, type Stream } from "effect"
import type { Usage } from "../../domain/EventLog.ts"
import type { TenantId } from "../../domain/Ids.ts"
import type { Plan } from "../v2/AgentWorkflow.ts"

export interface ModelRequest {
  readonly model: string
  readonly message: string
  /** The same for every attempt of one call: a provider that knows it answers a repeated call without a second charge. */
  readonly idempotencyKey: string
  readonly tenantId?: TenantId
  /** What an earlier attempt got so far: clients have seen it, so the answer begins with it. */
  readonly written?: string
  /** Told which model it is that begins to answer, when that may be another than was asked for. */
  readonly onAnswering?: (model: string) => void
  /** Told what the provider counts for this one call, where it says so: the bill, and not a rule of thumb. */
  readonly onUsed?: (used: Usage) => void
}

export class ModelError extends Data.TaggedError("ModelError")<{
  readonly message: string
  /** Whether another attempt may go better. */
  readonly retryable: boolean
}> {}

export class Model extends Context.Tag("agent/Model")<
  Model,
  {
    readonly plan: (request: ModelRequest) => Effect.Effect<Plan, ModelError>
    /** Whole tokens, one after the other. `attempt` counts from 1. */
    readonly answer: (request: ModelRequest, attempt: number) => Stream.Stream<string, ModelError>
    readonly countTokens: (text: string) => number
  }
>() {}
