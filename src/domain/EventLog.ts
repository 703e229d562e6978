/**
 * Where a run writes down what happened. The agent writes through this; `events/EventStore.ts` keeps it in Postgres.
 *
 * All writes may be repeated: a step that runs twice writes once.
 */
import { Context, type Effect, type Option, Schema } from "effect"
import type { Event, RecordedEvent } from "./Event.ts"
import type { RunId, SessionId, TenantId } from "./Ids.ts"
import type { RunView } from "./Run.ts"

export interface RunKey {
  readonly tenantId: TenantId
  readonly sessionId: SessionId
  readonly runId: RunId
  readonly executionId: string
}

export interface Entry {
  /** Unique in the execution together with `sequence`. A step that runs again must use the same ones. */
  readonly step: string
  readonly sequence: number
  readonly event: Event
}

/** What a run would be under one version of its workflow. */
export interface WorkflowVersion {
  readonly workflow: string
  readonly executionId: string
  /** For tenants of this tier alone. */
  readonly tier?: string
}

export interface NewRun extends Omit<RunKey, "executionId"> {
  /** Newest first. The run gets the first one that its tenant may have and every live runner carries. */
  readonly versions: ReadonlyArray<WorkflowVersion>
  readonly message: string
  readonly model: string
}

export interface AcceptedRun {
  readonly run: RunView
  readonly message: string
  readonly model: string
}

export interface Usage {
  readonly model: string
  readonly inputTokens: number
  readonly outputTokens: number
}

/** Whose use it is. */
export type Spender = Pick<RunKey, "tenantId" | "executionId">

/** The last event of an execution has this key whichever it is, so that there is exactly one. */
export const FINAL_STEP = "final"
/** The first event of an execution. */
export const ACCEPT_STEP = "accept"

/** The database could not be reached for as long as a step may wait for it. */
export class EventLogUnavailable extends Schema.TaggedError<EventLogUnavailable>()("EventLogUnavailable", {
  message: Schema.String
}) {}

/** Live runners of several releases have no version of the workflow in common. Nothing was recorded. */
export class NoVersionCarried extends Schema.TaggedError<NoVersionCarried>()("NoVersionCarried", {
  versions: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `No live runner lets a run be started: none of ${this.versions.join(", ")} is carried by all of them. The start can be sent again once the rollout has moved on.`
  }
}

/** Its `agents.tenant_limits.open_runs` is 0, perhaps since a moment ago. Nothing was recorded. */
export class TenantClosed extends Schema.TaggedError<TenantClosed>()("TenantClosed", {}) {
  override get message(): string {
    return "No run of this tenant may start (agents.tenant_limits.open_runs is 0)."
  }
}

export class EventLog extends Context.Tag("domain/EventLog")<
  EventLog,
  {
    /** Records the run with its `RunAccepted`, or finds the one that has its id already, in whichever session. */
    readonly accept: (run: NewRun) => Effect.Effect<AcceptedRun, EventLogUnavailable | NoVersionCarried | TenantClosed>
    /**
     * Appends what is not there yet, and says how many that were. `open` is false when the run had ended before: nothing
     * was written then. Fewer than given means that another run of the step has written under the same keys.
     * An `ApprovalRequested`, an `Approved` and the three last events set the run's status in the same statement.
     */
    readonly append: (
      run: RunKey,
      entries: ReadonlyArray<Entry>
    ) => Effect.Effect<{ readonly open: boolean; readonly written: number }, EventLogUnavailable>
    /** What a step has written so far, in order. */
    readonly ofStep: (
      executionId: string,
      step: string
    ) => Effect.Effect<ReadonlyArray<RecordedEvent>, EventLogUnavailable>
    readonly run: (tenantId: TenantId, runId: RunId) => Effect.Effect<Option.Option<RunView>, EventLogUnavailable>
    /**
     * Of one step: once per execution and step, whatever is run twice, and whether or not the run is still open. Who has got
     * further with the same step replaces what was recorded of its beginning.
     */
    readonly recordUsage: (
      run: Spender,
      usage: Usage & { readonly step: string }
    ) => Effect.Effect<void, EventLogUnavailable>
    /** Of all answers of a run, and not of what it used besides: records what is missing of it. */
    readonly settleUsage: (run: Spender, total: Usage) => Effect.Effect<void, EventLogUnavailable>
  }
>() {}
