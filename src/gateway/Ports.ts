/**
 * What the gateway needs of the rest: runs to be started and steered, events to be read and followed, and whether both can
 * be reached. Bound to the cluster client and the event store in `bin/gateway.ts`, to a fake in tests.
 */
import { Context, Data, type Effect, type Option } from "effect"
import type {
  AgentUnavailable,
  Ask,
  RunConflict,
  RunFinished,
  RunNotFound,
  RunNotWaiting
} from "../domain/AgentRpcs.ts"
import type { RecordedEvent } from "../domain/Event.ts"
import type { RunId, SessionId, TenantId } from "../domain/Ids.ts"
import type { RunView } from "../domain/Run.ts"

/** The database did not answer within its bound. The call can be sent again as it is. */
export class StorageUnavailable extends Data.TaggedError("StorageUnavailable")<{ readonly cause: unknown }> {}

export interface SessionRef {
  readonly tenantId: TenantId
  readonly sessionId: SessionId
}

/** The sessions' entities. Each call is retried inside a bound before it fails with `AgentUnavailable`. */
export class Agents extends Context.Tag("gateway/Agents")<
  Agents,
  {
    readonly ask: (session: SessionRef, ask: Ask) => Effect.Effect<RunView, RunConflict | AgentUnavailable>
    readonly cancel: (
      session: SessionRef,
      request: { readonly runId: RunId; readonly by: string }
    ) => Effect.Effect<RunView, RunNotFound | AgentUnavailable>
    readonly approve: (
      session: SessionRef,
      request: { readonly runId: RunId; readonly by: string }
    ) => Effect.Effect<RunView, RunNotFound | RunFinished | RunNotWaiting | AgentUnavailable>
  }
>() {}

/** Runs and events as recorded. Every read names the tenant. */
export class Records extends Context.Tag("gateway/Records")<
  Records,
  {
    readonly run: (tenantId: TenantId, runId: RunId) => Effect.Effect<Option.Option<RunView>, StorageUnavailable>
    /** A run's events with an id above `after`, in order, at most `limit`. */
    readonly runEvents: (
      tenantId: TenantId,
      runId: RunId,
      after: number,
      limit: number
    ) => Effect.Effect<ReadonlyArray<RecordedEvent>, StorageUnavailable>
    /**
     * A session's events with an id above `after`, in order, at least one: waits for one. `atOnce` asks for what is there
     * already (a first page, or one after a page with `more`); what happens while somebody waits is found by itself.
     */
    readonly next: (
      session: SessionRef,
      after: number,
      atOnce: boolean
    ) => Effect.Effect<{ readonly events: ReadonlyArray<RecordedEvent>; readonly more: boolean }, StorageUnavailable>
  }
>() {}

/** What one tenant may do, where it differs from what all may; and what it has spent. */
export interface TenantAllowance {
  readonly requestsPerSecond?: number
  readonly openRuns?: number
  readonly tokensPerDay?: number
  /** Input and output tokens since midnight, UTC. */
  readonly tokensToday: number
}

/** How much is under way: what admission asks before a run costs anything. */
export class Load extends Context.Tag("gateway/Load")<
  Load,
  {
    readonly allowance: (tenantId: TenantId) => Effect.Effect<TenantAllowance, StorageUnavailable>
    /**
     * The tenant's open runs, without those of `starting` and counted no further than `atMost`; and whether it has the run
     * `runId` already, open or not.
     */
    readonly tenant: (
      tenantId: TenantId,
      runId: RunId,
      starting: ReadonlyArray<RunId>,
      atMost: number
    ) => Effect.Effect<{ readonly open: number; readonly known: boolean }, StorageUnavailable>
    /** Runs of all tenants that are worked on or wait to be, without those that wait for a person; no further than `atMost`. */
    readonly working: (atMost: number) => Effect.Effect<number, StorageUnavailable>
  }
>() {}

export interface Check {
  readonly name: string
  /** Fails with the reason, in words, when this does not work. */
  readonly run: Effect.Effect<void, string>
}

/** What readiness asks, beside "not stopping". */
export class Checks extends Context.Tag("gateway/Checks")<Checks, ReadonlyArray<Check>>() {}
