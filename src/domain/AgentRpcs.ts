/**
 * What a session can be asked. The gateway calls it, the entity `Agent` answers; tenant and session are the entity's id.
 *
 * All four may be sent again: a caller that lost the answer repeats the call. They are not persisted by the cluster: what
 * must outlive a process is in the run's rows and in the workflow's messages, and a lost call is repeated by its caller.
 * (A persisted call that reaches a runner which doesn't know it is answered with a permanent failure.)
 */
import { Rpc, RpcGroup } from "@effect/rpc"
import { Schema } from "effect"
import { RunId, SessionId } from "./Ids.ts"
import { RunView } from "./Run.ts"
import { isStorable } from "./Text.ts"

export class RunNotFound extends Schema.TaggedError<RunNotFound>()("RunNotFound", { runId: RunId }) {
  override get message(): string {
    return `This session has no run ${this.runId}.`
  }
}

/** The run id is taken: by another session of the tenant, or by a run with another message. */
export class RunConflict extends Schema.TaggedError<RunConflict>()("RunConflict", {
  runId: RunId,
  reason: Schema.Literal("other-session", "other-request")
}) {
  override get message(): string {
    return this.reason === "other-session"
      ? `Run ${this.runId} belongs to another session. Choose a new run id.`
      : `Run ${this.runId} was started with another message or model. Choose a new run id for a new request.`
  }
}

/** The run has ended, so there is nothing left to approve. */
export class RunFinished extends Schema.TaggedError<RunFinished>()("RunFinished", { run: RunView }) {
  override get message(): string {
    return `Run ${this.run.runId} has already ${this.run.status === "failed" ? "failed" : `been ${this.run.status}`}.`
  }
}

/** Nobody was asked for an approval yet. */
export class RunNotWaiting extends Schema.TaggedError<RunNotWaiting>()("RunNotWaiting", { run: RunView }) {
  override get message(): string {
    return `Run ${this.run.runId} has not asked for an approval. Wait for its ApprovalRequested event.`
  }
}

export const MAX_MESSAGE_LENGTH = 32_768

export const Ask = Schema.Struct({
  runId: RunId,
  message: Schema.String.pipe(
    Schema.minLength(1),
    Schema.maxLength(MAX_MESSAGE_LENGTH),
    // What the database can't hold as JSON must be refused here, where the client hears why.
    Schema.filter(isStorable, {
      message: () => "message: well-formed Unicode without U+0000"
    })
  ),
  model: Schema.String.pipe(Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._:/-]*$/), Schema.maxLength(100))
})
export type Ask = typeof Ask.Type

export class AgentRpcs extends RpcGroup.make(
  /** Starts a run, or finds the one that this call started before. */
  Rpc.make("Ask", { payload: Ask, success: RunView, error: RunConflict }),
  /** Ends a run. A run that has ended already is left as it is. */
  Rpc.make("Cancel", { payload: { runId: RunId, by: Schema.String }, success: RunView, error: RunNotFound }),
  /** Lets a waiting run go on. */
  Rpc.make("Approve", {
    payload: { runId: RunId, by: Schema.String },
    success: RunView,
    error: Schema.Union(RunNotFound, RunFinished, RunNotWaiting)
  }),
  Rpc.make("Status", { payload: { runId: RunId }, success: RunView, error: RunNotFound })
) {}

/** Where a session's runner could not be reached in time, and the call may or may not have been carried out. */
export class AgentUnavailable extends Schema.TaggedError<AgentUnavailable>()("AgentUnavailable", {
  sessionId: SessionId,
  waitedMillis: Schema.Number
}) {
  override get message(): string {
    return `No runner answered for session ${this.sessionId} within ${this.waitedMillis} ms. The call can be sent again as it is.`
  }
}
