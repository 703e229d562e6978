/**
 * Follows sessions: one query for all that listen in this process, however many sockets there are.
 *
 * It is pulled: a reader asks for what comes after its last event and is answered with one page. Nothing is buffered for a
 * reader that does not ask, so a slow one costs nothing here, and the database is the queue. Postgres' own notifications
 * are not used: they would take a connection each and still need this query after a reconnect.
 *
 * A waiting reader is an entry of a set and the callback of its fiber, nothing else: most sockets wait most of the time.
 */

import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Clock, Effect, Exit } from "effect"
import type { RecordedEvent } from "../domain/Event.ts"
import type { SessionId, TenantId } from "../domain/Ids.ts"
import { eventsOfCursors, eventsOfSessionKept, sessionsKept } from "./statements.ts"

/** What a reader waits at most for an event that is there, while its session is active: ms, as all times here. */
const ACTIVE = 50
/** The same when its session was silent for longer than `ACTIVE_FOR`. Most are: looking for them is most of the work. */
const SILENT = 200
const ACTIVE_FOR = 3_000

/** Events of one session in one answer. */
const PAGE = 200
/** Sessions in one query. */
const CURSORS = 500

/** A database that is away this long is told to the readers; before, they just wait. */
const PATIENCE = 15_000
const RETRY = 500

export interface Page {
  readonly events: ReadonlyArray<RecordedEvent>
  /** There may be more already: ask at once. */
  readonly more: boolean
}

interface Waiting {
  readonly tenantId: TenantId
  readonly sessionId: SessionId
  readonly after: number
  /** Readers come with an event that they just had, or just connected: until then their session is taken for active. */
  activeUntil: number
  /** What it has not seen may have left the writers' table. One that waits has seen all that was there, and need not ask. */
  replays: boolean
  /** Not looked for before. */
  dueAt: number
  readonly answer: (page: Exit.Exit<Page, SqlError>) => void
}

export class Feed extends Effect.Service<Feed>()("events/Feed", {
  scoped: Effect.gen(function* () {
    const sql = yield* SqlClient
    const withSql = Effect.provideService(SqlClient, sql)
    const clock = yield* Clock.clockWith(Effect.succeed)
    const waiting = new Set<Waiting>()
    // Open while somebody waits whose answer may lie there already: a new reader, or one whose last page was full.
    const urgent = yield* Effect.makeLatch(false)

    const look = Effect.fnUntraced(function* (batch: ReadonlyArray<Waiting>) {
      const cursors = batch.map(({ tenantId, sessionId, after }, key) => ({
        key,
        tenant_id: tenantId,
        session_id: sessionId,
        after
      }))
      const rows = yield* withSql(eventsOfCursors.run(JSON.stringify(cursors), PAGE))
      const pages = new Map<number, Array<RecordedEvent>>()
      for (const { key, ...event } of rows) {
        const page = pages.get(key)
        if (page === undefined) pages.set(key, [event])
        else page.push(event)
      }
      const replaying = cursors.filter(({ key }) => batch[key]!.replays)
      if (replaying.length > 0) {
        for (const { key } of yield* withSql(sessionsKept.run(JSON.stringify(replaying)))) {
          const { tenantId, sessionId, after } = batch[key]!
          const both = yield* withSql(eventsOfSessionKept.run(tenantId, sessionId, after, PAGE))
          if (both.length > 0) pages.set(key, [...both])
        }
        for (const { key } of replaying) batch[key]!.replays = false
      }
      for (const [key, page] of pages) {
        const reader = batch[key]
        if (reader === undefined) continue
        waiting.delete(reader)
        reader.answer(Exit.succeed({ events: page, more: page.length === PAGE }))
      }
      return rows.length
    })

    let lastEventAt = 0
    let lastAnswerAt = clock.unsafeCurrentTimeMillis()
    const round = Effect.gen(function* () {
      yield* urgent.close
      const startedAt = clock.unsafeCurrentTimeMillis()
      const due = [...waiting].filter(({ dueAt }) => dueAt <= startedAt)
      let found = 0
      for (let start = 0; start < due.length; start += CURSORS) {
        found += yield* look(due.slice(start, start + CURSORS))
      }
      const now = clock.unsafeCurrentTimeMillis()
      lastAnswerAt = now
      if (found > 0) lastEventAt = now
      // With nobody waiting there is nothing to look for until somebody comes.
      if (waiting.size === 0) return yield* urgent.await
      // Who had an event a moment ago is on the way back.
      let nextAt = now - lastEventAt < ACTIVE_FOR ? now + ACTIVE : now + SILENT
      for (const reader of waiting) {
        if (reader.dueAt <= startedAt) {
          // The silent ones apart from each other, so that no round has all of them.
          reader.dueAt = now + (now < reader.activeUntil ? ACTIVE : SILENT * (0.75 + 0.25 * Math.random()))
        }
        nextAt = Math.min(nextAt, reader.dueAt)
      }
      yield* Effect.race(Effect.sleep(Math.max(ACTIVE, nextAt - now)), urgent.await)
    })

    const failed = (error: SqlError) =>
      Effect.gen(function* () {
        if (clock.unsafeCurrentTimeMillis() - lastAnswerAt > PATIENCE) {
          for (const reader of waiting) {
            waiting.delete(reader)
            reader.answer(Exit.fail(error))
          }
        }
        yield* Effect.sleep(RETRY)
        if (waiting.size === 0) yield* urgent.await
      })

    yield* urgent.await.pipe(
      Effect.andThen(Effect.sync(() => (lastAnswerAt = clock.unsafeCurrentTimeMillis()))),
      Effect.andThen(Effect.forever(Effect.catchAll(round, failed))),
      Effect.catchAllCause((cause) => Effect.logError("The feed met a defect and starts again", cause)),
      Effect.forever,
      Effect.forkScoped
    )

    return {
      /**
       * The session's events with an id above `after`, in order, at least one: waits until there is one. `atOnce` when there
       * may be some already: to a reader that is new, or whose last page said so.
       */
      next: (tenantId: TenantId, sessionId: SessionId, after: number, atOnce: boolean): Effect.Effect<Page, SqlError> =>
        Effect.async((resume) => {
          const reader: Waiting = {
            tenantId,
            sessionId,
            after,
            activeUntil: clock.unsafeCurrentTimeMillis() + ACTIVE_FOR,
            replays: atOnce,
            dueAt: 0,
            answer: resume
          }
          waiting.add(reader)
          if (atOnce || waiting.size === 1) urgent.unsafeOpen()
          return Effect.sync(() => waiting.delete(reader))
        })
    }
  })
}) {}
