/**
 * Follows sessions: one query for all that listen in this process, however many sockets there are.
 *
 * It is pulled: a reader asks for what comes after its last event and is answered with one page. Nothing is buffered for a
 * reader that does not ask, so a slow one costs nothing here, and the database is the queue. Postgres' own notifications
 * are not used: they would take a connection each and still need this query after a reconnect.
 */

import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Clock, Deferred, Duration, Effect, Stream } from "effect"
import type { RecordedEvent } from "../domain/Event.ts"
import type { EventId, SessionId, TenantId } from "../domain/Ids.ts"
import { eventsOfCursors } from "./statements.ts"

/** While events come: what a reader waits for one at most. */
const BUSY = Duration.millis(50)
/** When nothing came for a while: keeps an idle process idle. */
const IDLE = Duration.millis(200)
const BUSY_FOR = Duration.seconds(3)

/** Events of one session in one answer. */
const PAGE = 200
/** Sessions in one query. */
const CURSORS = 500

/** A database that is away this long is told to the readers; before, they just wait. */
const PATIENCE = Duration.seconds(15)
const RETRY = Duration.millis(500)

interface Waiting {
  readonly tenantId: TenantId
  readonly sessionId: SessionId
  readonly after: number
  readonly page: Deferred.Deferred<ReadonlyArray<RecordedEvent>, SqlError>
}

export class Feed extends Effect.Service<Feed>()("events/Feed", {
  scoped: Effect.gen(function* () {
    const sql = yield* SqlClient
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
      const rows = yield* eventsOfCursors.run(JSON.stringify(cursors), PAGE).pipe(Effect.provideService(SqlClient, sql))
      const pages = new Map<number, Array<RecordedEvent>>()
      for (const { key, ...event } of rows) {
        const page = pages.get(key)
        if (page === undefined) pages.set(key, [event])
        else page.push(event)
      }
      for (const [key, page] of pages) {
        const reader = batch[key]
        if (reader === undefined) continue
        waiting.delete(reader)
        yield* Deferred.succeed(reader.page, page)
      }
      return rows.length
    })

    let lastEventAt = 0
    let lastAnswerAt = yield* Clock.currentTimeMillis
    const round = Effect.gen(function* () {
      yield* urgent.close
      const all = [...waiting]
      let found = 0
      for (let start = 0; start < all.length; start += CURSORS) {
        found += yield* look(all.slice(start, start + CURSORS))
      }
      const now = yield* Clock.currentTimeMillis
      lastAnswerAt = now
      if (found > 0) lastEventAt = now
      const pause = waiting.size > 0 && now - lastEventAt > Duration.toMillis(BUSY_FOR) ? IDLE : BUSY
      // With nobody waiting there is nothing to look for until somebody comes.
      yield* waiting.size === 0 ? urgent.await : Effect.race(Effect.sleep(pause), urgent.await)
    })

    const failed = (error: SqlError) =>
      Effect.gen(function* () {
        if ((yield* Clock.currentTimeMillis) - lastAnswerAt > Duration.toMillis(PATIENCE)) {
          for (const reader of waiting) {
            waiting.delete(reader)
            yield* Deferred.fail(reader.page, error)
          }
        }
        yield* Effect.sleep(RETRY)
        if (waiting.size === 0) yield* urgent.await
      })

    yield* urgent.await.pipe(
      Effect.andThen(Clock.currentTimeMillis),
      Effect.andThen((now) => Effect.sync(() => (lastAnswerAt = now))),
      Effect.andThen(Effect.forever(Effect.catchAll(round, failed))),
      Effect.catchAllCause((cause) => Effect.logError("The feed met a defect and starts again", cause)),
      Effect.forever,
      Effect.forkScoped
    )

    /** The next events after `after`, at least one: waits until there is one. */
    const next = (tenantId: TenantId, sessionId: SessionId, after: number, atOnce: boolean) =>
      Effect.gen(function* () {
        const reader: Waiting = {
          tenantId,
          sessionId,
          after,
          page: yield* Deferred.make<ReadonlyArray<RecordedEvent>, SqlError>()
        }
        waiting.add(reader)
        if (atOnce || waiting.size === 1) yield* urgent.open
        return yield* Deferred.await(reader.page).pipe(
          Effect.onInterrupt(() => Effect.sync(() => waiting.delete(reader)))
        )
      })

    return {
      /** Every event of the session with an id above `after`, in order, each once, without end. */
      follow: (
        tenantId: TenantId,
        sessionId: SessionId,
        after: EventId | number
      ): Stream.Stream<RecordedEvent, SqlError> =>
        Stream.unfoldEffect({ after: after as number, atOnce: true }, (cursor) =>
          Effect.map(next(tenantId, sessionId, cursor.after, cursor.atOnce), (page) => {
            const last = page.at(-1)
            return [
              page,
              { after: last === undefined ? cursor.after : last.eventId, atOnce: page.length === PAGE }
            ] as const
          }).pipe(Effect.asSome)
        ).pipe(Stream.flattenIterables)
    }
  })
}) {}
