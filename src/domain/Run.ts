/** The state of one run, as its owner and every client see it. */
import { Schema } from "effect"
import { RunId, SessionId } from "./Ids.ts"

/** `accepted` covers everything between the start and the end, but for waiting on a person. */
export const RunStatus = Schema.Literal("accepted", "waiting", "completed", "failed", "cancelled")
export type RunStatus = typeof RunStatus.Type

export const RunView = Schema.Struct({
  runId: RunId,
  sessionId: SessionId,
  status: RunStatus,
  workflow: Schema.String,
  executionId: Schema.String,
  /** The commit that accepted the run. */
  release: Schema.String,
  /** The pod that wrote the run's latest event: the one that works on it while it runs. */
  runner: Schema.NullOr(Schema.String),
  acceptedAt: Schema.DateFromString,
  finishedAt: Schema.NullOr(Schema.DateFromString)
})
export type RunView = typeof RunView.Type

export const isOpen = (status: RunStatus): boolean => status === "accepted" || status === "waiting"

/** How a run failed for good. The `code` is stable; the message is for people. */
export class RunFailed extends Schema.TaggedError<RunFailed>()("RunFailed", {
  code: Schema.Literal("model-failed", "tool-failed", "cancelled", "internal"),
  message: Schema.String
}) {}
