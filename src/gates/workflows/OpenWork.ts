/** The work a database holds that no release has finished yet: what every rule of the workflow gate is asked about. */
import { Context, Data, type Effect, type Stream } from "effect"

/** A JSON text of the database, read. `damaged` holds why it can't be. */
export type Stored =
  | { readonly _tag: "value"; readonly value: unknown }
  | { readonly _tag: "damaged"; readonly why: string }

export const stored = (text: string): Stored => {
  try {
    return { _tag: "value", value: JSON.parse(text) as unknown }
  } catch (cause) {
    return { _tag: "damaged", why: cause instanceof Error ? cause.message : String(cause) }
  }
}

export interface BegunActivity {
  /** The durable name: `Plan`, or `CallTool#key`. */
  readonly name: string
  readonly attempt: number
  /** What it ended with; absent while it is under way. */
  readonly reply: Stored | undefined
  /** The release that recorded it, where that is known: the journal says it, the engine's own tables do not. */
  readonly release?: string | undefined
}

export interface AnsweredDeferred {
  readonly name: string
  /** The encoded exit that it was answered with. */
  readonly exit: unknown
}

export interface RunningClock {
  readonly name: string
}

/** One execution of a workflow without a final result. */
export interface Execution {
  readonly workflow: string
  readonly executionId: string
  /** `group:number`, as stored. */
  readonly shardId: string
  /** `dead`: the engine answered its start with a permanent failure. Only a repair brings it back. */
  readonly state: "running" | "suspended" | "dead"
  readonly diedOf: string | undefined
  /** When it was started, in ms since 1970; and when a runner last said how far it is: undefined while none has. */
  readonly startedAt: number
  readonly answeredAt: number | undefined
  readonly payload: Stored
  readonly activities: ReadonlyArray<BegunActivity>
  readonly deferreds: ReadonlyArray<AnsweredDeferred>
  /** Clocks that have not rung yet. */
  readonly clocks: ReadonlyArray<RunningClock>
  /** Parts whose payload is not JSON: what they are can't be told. */
  readonly damaged: ReadonlyArray<string>
}

/** What an execution ended with that somebody may still ask for. */
export interface KeptResult {
  readonly workflow: string
  readonly executionId: string
  /** The encoded exit. */
  readonly exit: Stored
}

/** How long executions of a workflow took that have ended and whose rows are still there. */
export interface Lived {
  readonly ended: number
  /** In ms. */
  readonly half: number
  readonly most: number
  readonly longest: number
}

/** A call of an entity that was accepted and not answered yet. Workflows are not among these. */
export interface OpenCall {
  readonly entityType: string
  readonly entityId: string
  readonly tag: string
  readonly shardId: string
  readonly payload: Stored
}

/** Reading the open work failed. The message is for a person. */
export class OpenWorkUnreadable extends Data.TaggedError("OpenWorkUnreadable")<{
  /** The role lacks a right, or this is no place to judge from: something must be put right first. */
  readonly precondition: boolean
  readonly message: string
}> {}

export class OpenWork extends Context.Tag("gates/OpenWork")<
  OpenWork,
  {
    /** False when the cluster's tables are not there: nothing was ever started here. */
    readonly exists: Effect.Effect<boolean, OpenWorkUnreadable>
    /** Every open execution, in one snapshot with `calls`. */
    readonly executions: Stream.Stream<Execution, OpenWorkUnreadable>
    readonly calls: Stream.Stream<OpenCall, OpenWorkUnreadable>
    /** Of these workflows, what ended executions hold that a parent, a gateway or whoever started them may still ask for. */
    readonly results: (workflows: ReadonlyArray<string>) => Stream.Stream<KeptResult, OpenWorkUnreadable>
    /** Undefined: none of its has ended here, as far as the rows tell. */
    readonly lived: (workflow: string) => Effect.Effect<Lived | undefined, OpenWorkUnreadable>
  }
>() {}
