/**
 * Runs and events in Postgres.
 *
 * Writes wait out a database that is away for a while (a failover takes some 30 s): they are called by activities, and an
 * activity that gives up costs one of its recorded attempts. Reads are called for a waiting client and fail at once.
 */
import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Layer, Option, Schedule } from "effect"
import { CurrentProcess } from "../domain/CurrentProcess.ts"
import { type Event, isTerminal, type RecordedEvent } from "../domain/Event.ts"
import {
  ACCEPT_STEP,
  type Entry,
  EventLog,
  EventLogUnavailable,
  NoVersionCarried,
  type RunKey,
  TenantClosed
} from "../domain/EventLog.ts"
import type { EventId, RunId, SessionId, TenantId } from "../domain/Ids.ts"
import type { RunStatus, RunView } from "../domain/Run.ts"
import * as statements from "./statements.ts"

/** The most events that one read returns. */
export const MAX_PAGE = 500

/** What an event makes of its run. */
export const statusAfter = (event: Event): RunStatus | undefined => {
  switch (event._tag) {
    case "ApprovalRequested":
      return "waiting"
    case "Approved":
      return "accepted"
    case "Completed":
      return "completed"
    case "Failed":
      return "failed"
    case "Cancelled":
      return "cancelled"
    default:
      return undefined
  }
}

/** Refused, broken or timed-out connections, a server that starts or stops, deadlocks, a pool without a free connection. */
export const isTransient = (error: SqlError.SqlError): boolean => {
  const code = typeof error.cause === "object" && error.cause !== null && "code" in error.cause ? error.cause.code : ""
  if (typeof code !== "string" || code === "") return true
  return /^(08|53|57P|40)/.test(code) || !/^[0-9A-Z]{5}$/.test(code)
}

const patience = Schedule.exponential("50 millis", 2).pipe(
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.upTo("30 seconds")
)

/** A statement that the server refuses is a bug or a migration that ran ahead: a defect, not something to wait for. */
const waitOut = <A, R>(effect: Effect.Effect<A, SqlError.SqlError, R>): Effect.Effect<A, EventLogUnavailable, R> =>
  effect.pipe(
    Effect.catchAll((error) => (isTransient(error) ? Effect.fail(error) : Effect.die(error))),
    Effect.retry(patience),
    Effect.mapError(
      (error) =>
        new EventLogUnavailable({
          message: `The database did not answer within 30 s: ${error.message}`
        })
    )
  )

/**
 * Postgres' `jsonb` takes neither U+0000 nor half a surrogate pair, and a model or a tool may well print them. (A client's
 * message with them is refused at the door: see `Ask`.)
 */
export const clean = (text: string): string => text.replaceAll("\u0000", "\uFFFD").toWellFormed()

const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, field) => (typeof field === "string" ? clean(field) : field))

const encodeEntry = ({ step, sequence, event: { _tag: type, ...payload } }: Entry) => ({
  step,
  sequence,
  type,
  payload
})

/** Reads for clients. `after` is the last event id that the caller has. */
export class EventStore extends Effect.Service<EventStore>()("events/EventStore", {
  effect: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const withSql = Effect.provideService(SqlClient.SqlClient, sql)
    const page = (limit: number | undefined) => Math.min(limit ?? MAX_PAGE, MAX_PAGE)
    return {
      ofSession: (
        tenantId: TenantId,
        sessionId: SessionId,
        after: EventId | 0,
        limit?: number
      ): Effect.Effect<ReadonlyArray<RecordedEvent>, SqlError.SqlError> =>
        withSql(
          Effect.gen(function* () {
            const here = yield* statements.eventsOfSession.run(tenantId, sessionId, after, page(limit))
            const cursor = JSON.stringify([{ key: 0, tenant_id: tenantId, session_id: sessionId, after }])
            if ((yield* statements.sessionsKept.run(cursor)).length === 0) return here
            return yield* statements.eventsOfSessionKept.run(tenantId, sessionId, after, page(limit))
          })
        ),
      ofRun: (
        tenantId: TenantId,
        runId: RunId,
        after: EventId | 0,
        limit?: number
      ): Effect.Effect<ReadonlyArray<RecordedEvent>, SqlError.SqlError> =>
        withSql(
          // A run's events are all in one place, and move from here to there.
          Effect.gen(function* () {
            const here = yield* statements.eventsOfRun.run(tenantId, runId, after, page(limit))
            if (here.length > 0) return here
            const [run] = yield* statements.runKept.run(tenantId, runId)
            if (run?.kept !== true) return []
            return yield* statements.eventsOfRunKept.run(tenantId, runId, after, page(limit))
          })
        ),
      run: (tenantId: TenantId, runId: RunId): Effect.Effect<Option.Option<RunView>, SqlError.SqlError> =>
        withSql(statements.runState.run(tenantId, runId)).pipe(Effect.map(([row]) => Option.fromNullable(row)))
    }
  })
}) {}

/** The agent's way to write. */
export const eventLog: Layer.Layer<EventLog, never, SqlClient.SqlClient> = Layer.effect(
  EventLog,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { name, release } = yield* CurrentProcess
    const withSql = Effect.provideService(SqlClient.SqlClient, sql)

    const append = Effect.fn("EventLog.append")(function* (run: RunKey, entries: ReadonlyArray<Entry>) {
      const status = entries.reduce<RunStatus | undefined>((last, { event }) => statusAfter(event) ?? last, undefined)
      const [outcome] = yield* waitOut(
        withSql(
          statements.appendEvents.run(
            run.tenantId,
            run.sessionId,
            run.runId,
            run.executionId,
            toJson(entries.map(encodeEntry)),
            status ?? null,
            entries.some(({ event }) => isTerminal(event)),
            name,
            release
          )
        )
      )
      return { open: outcome?.open === true, written: outcome?.written ?? 0 }
    })

    return EventLog.of({
      append,
      accept: Effect.fn("EventLog.accept")(function* (run) {
        const { tenantId, sessionId, runId, versions, message, model } = run
        const request = toJson({ message, model })
        yield* waitOut(
          withSql(
            statements.acceptRun.run(tenantId, sessionId, runId, toJson(versions), release, name, ACCEPT_STEP, request)
          )
        )
        const [found] = yield* waitOut(withSql(statements.runWithRequest.run(tenantId, runId)))
        if (found === undefined) {
          const [tenant] = yield* waitOut(withSql(statements.tenantClosed.run(tenantId)))
          if (tenant?.closed === true) return yield* new TenantClosed()
          return yield* new NoVersionCarried({ versions: versions.map(({ workflow }) => workflow) })
        }
        const { message: asked, model: of, ...view } = found
        if (asked !== null && of !== null) return { run: view, message: asked, model: of }
        // Ended long ago. When even its day is over, the run's id and end are all that is known: it is taken for the same.
        const [kept] = yield* waitOut(withSql(statements.requestKept.run(tenantId, runId)))
        return { run: view, message: kept?.message ?? message, model: kept?.model ?? model }
      }),
      ofStep: (executionId, step) => waitOut(withSql(statements.eventsOfStep.run(executionId, step))),
      run: (tenantId, runId) =>
        waitOut(withSql(statements.runState.run(tenantId, runId))).pipe(
          Effect.map(([row]) => Option.fromNullable(row))
        ),
      recordUsage: (run, usage) =>
        waitOut(
          withSql(
            statements.recordUsage.run(
              run.tenantId,
              run.executionId,
              usage.step,
              usage.model,
              usage.inputTokens,
              usage.outputTokens
            )
          )
        ).pipe(Effect.asVoid),
      settleUsage: (run, { model, inputTokens, outputTokens }) =>
        waitOut(
          withSql(statements.settleUsage.run(run.tenantId, run.executionId, model, inputTokens, outputTokens))
        ).pipe(Effect.asVoid)
    })
  })
)
