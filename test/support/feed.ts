/** A session's events without end, read page by page as a socket reads them. */
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Option, Stream } from "effect"
import type { RecordedEvent } from "../../src/domain/Event.ts"
import type { SessionId, TenantId } from "../../src/domain/Ids.ts"
import type { Feed } from "../../src/events/Feed.ts"

export const follow = (
  feed: Feed,
  tenantId: TenantId,
  sessionId: SessionId,
  after: number
): Stream.Stream<RecordedEvent, SqlError> =>
  Stream.unfoldEffect({ after, more: true }, (cursor) =>
    Effect.map(feed.next(tenantId, sessionId, cursor.after, cursor.more), ({ events, more }) =>
      Option.some([events, { after: events.at(-1)?.eventId ?? cursor.after, more }] as const)
    )
  ).pipe(Stream.flattenIterables)
