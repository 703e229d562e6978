/**
 * What a run tells its session, in order. Clients of every release read these, and rows of every release lie in
 * `agents.events`: variants and fields are added, never renamed or removed.
 */
import { Schema } from "effect"
import { EventId, RunId, SessionId } from "./Ids.ts"

export const RunAccepted = Schema.TaggedStruct("RunAccepted", { message: Schema.String, model: Schema.String })

/** A piece of the answer. Several tokens at once: a row for each would cost more than the tokens. */
export const Token = Schema.TaggedStruct("Token", { text: Schema.String })

export const ToolCall = Schema.TaggedStruct("ToolCall", {
  call: Schema.String,
  tool: Schema.String,
  input: Schema.String
})

export const ToolResult = Schema.TaggedStruct("ToolResult", {
  call: Schema.String,
  tool: Schema.String,
  outcome: Schema.Literal("ok", "refused", "failed"),
  output: Schema.String
})

export const ApprovalRequested = Schema.TaggedStruct("ApprovalRequested", { reason: Schema.String })

export const Approved = Schema.TaggedStruct("Approved", { by: Schema.String })

export const Completed = Schema.TaggedStruct("Completed", {
  text: Schema.String,
  inputTokens: Schema.NonNegativeInt,
  outputTokens: Schema.NonNegativeInt
})

export const Failed = Schema.TaggedStruct("Failed", { code: Schema.String, message: Schema.String })

export const Cancelled = Schema.TaggedStruct("Cancelled", { by: Schema.String })

export const Event = Schema.Union(
  RunAccepted,
  Token,
  ToolCall,
  ToolResult,
  ApprovalRequested,
  Approved,
  Completed,
  Failed,
  Cancelled
)
export type Event = typeof Event.Type
export type EventType = Event["_tag"]

/** Exactly one of these ends a run. */
export const terminalEvents = ["Completed", "Failed", "Cancelled"] as const satisfies ReadonlyArray<EventType>

export const isTerminal = (event: Event): boolean => terminalEvents.some((tag) => tag === event._tag)

/** An event as it was recorded, and as clients receive it. */
export const RecordedEvent = Schema.Struct({
  eventId: EventId,
  sessionId: SessionId,
  runId: RunId,
  /** Which step of the run wrote it, and its place among that step's events. Unique in a run, whatever was run twice. */
  step: Schema.String,
  sequence: Schema.NonNegativeInt,
  occurredAt: Schema.DateFromString,
  event: Event
})
export type RecordedEvent = typeof RecordedEvent.Type
