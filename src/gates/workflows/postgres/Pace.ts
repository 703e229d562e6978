/**
 * How fast the gate judges: as fast as it can where nobody else works with the database, and slowly beside others.
 *
 * A row costs Postgres some 2.5 µs, and those are sent at once (`Spool`); it costs the gate some 30 µs where it also replays. So at 3,000
 * rows a second that takes a tenth of one processor, also on a machine that it shares with runners. Whether others work is
 * told by how much is committed: anybody may read that, and an idle fleet commits some transactions a second.
 */
import { Clock, Effect, type Scope, Stream } from "effect"
import type { Database } from "../../Database.ts"

/** Commits a second, of all sessions of this database. Ten idle runners and gateways make about thirty. */
export const BUSY = 50
export const ROWS_PER_SECOND = 3_000
/** Hooks end after five minutes: a gate that is not through by then hurries, since its verdict is worth more. */
const POLITE_MS = 120_000
const EVERY = "500 millis"

/** Of two looks at the counter, whether others were at work in between. Pure. */
export const isBusy = (
  before: { readonly at: number; readonly commits: number },
  now: { readonly at: number; readonly commits: number }
): boolean => now.at > before.at && ((now.commits - before.commits) * 1_000) / (now.at - before.at) > BUSY

/** How long to wait after so many rows. Pure. */
export const pauseOf = (rows: number, busy: boolean, elapsedMs: number): number =>
  busy && elapsedMs < POLITE_MS ? (rows / ROWS_PER_SECOND) * 1_000 : 0

/** Looks now and then, in a session of its own, until the scope ends. What can't be told is taken for nobody. */
export const watch = (session: Database["Type"]["session"]): Effect.Effect<() => boolean, never, Scope.Scope> =>
  Effect.gen(function* () {
    let busy = false
    const look = Effect.gen(function* () {
      const own = yield* session
      // Postgres tells others of a session's commits about once a second.
      const read = Effect.gen(function* () {
        const [row] = yield* own.query<{ commits: string }>(
          "select xact_commit::text as commits from pg_stat_database where datname = current_database()"
        )
        return { at: yield* Clock.currentTimeMillis, commits: Number(row?.commits ?? 0) }
      })
      let before = yield* read
      yield* Effect.forever(
        Effect.gen(function* () {
          yield* Effect.sleep(EVERY)
          const now = yield* read
          busy = isBusy(before, now)
          // A look back over two seconds: sessions report in bursts.
          if (now.at - before.at > 2_000) before = now
        })
      )
    })
    yield* Effect.forkScoped(Effect.ignore(Effect.scoped(look)))
    return () => busy
  })

/** The same lines, with a pause after those that came at once. */
export const paced = <A, E>(lines: Stream.Stream<A, E>, busy: () => boolean): Stream.Stream<A, E> =>
  Stream.unwrap(
    Effect.map(Clock.currentTimeMillis, (start) =>
      Stream.mapChunksEffect(lines, (chunk) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const pause = pauseOf(chunk.length, busy(), now - start)
          return pause === 0 ? Effect.succeed(chunk) : Effect.as(Effect.sleep(pause), chunk)
        })
      )
    )
  )
