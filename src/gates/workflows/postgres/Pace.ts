/**
 * How fast the gate judges: as fast as it can where nobody else works with the database, and slowly beside others.
 *
 * A row costs Postgres some 5 µs, and those are sent at once (`Spool`); it costs the gate some 30 µs where it also replays. What runners
 * lose is what a gate takes of processors that it shares with them, over the time that it takes: 6 percent of two at 3,000 rows a
 * second, measured. Whether others work is told by how much is committed: anybody may read that, and an idle fleet commits some
 * transactions a second.
 */
import { Clock, Effect, type Scope, Stream } from "effect"
import type { Database } from "../../Database.ts"

/** Commits a second, of all sessions of this database. Ten idle runners and gateways make about thirty. */
export const BUSY = 50
export const ROWS_PER_SECOND = 2_000
/** More rows than can be judged so slowly in this time go faster, as evenly. */
const WITHIN_SECONDS = 220
/** The hook ends after ten minutes, and replays after five: a gate that is not through by then hurries, since its verdict is worth more. */
const POLITE_MS = 240_000
const EVERY = "500 millis"

/** Of two looks at the counter, whether others were at work in between. Pure. */
export const isBusy = (
  before: { readonly at: number; readonly commits: number },
  now: { readonly at: number; readonly commits: number }
): boolean => now.at > before.at && ((now.commits - before.commits) * 1_000) / (now.at - before.at) > BUSY

/** How long to wait after so many rows, of so many in all. Pure. */
export const pauseOf = (rows: number, total: number, busy: boolean, elapsedMs: number): number =>
  busy && elapsedMs < POLITE_MS ? (rows / Math.max(ROWS_PER_SECOND, total / WITHIN_SECONDS)) * 1_000 : 0

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

/** The same lines, with a pause after those that came at once. `total`: how many there are, as far as it is known. */
export const paced = <A, E>(
  lines: Stream.Stream<A, E>,
  busy: () => boolean,
  total: () => number
): Stream.Stream<A, E> =>
  Stream.unwrap(
    Effect.map(Clock.currentTimeMillis, (start) =>
      Stream.mapChunksEffect(lines, (chunk) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const pause = pauseOf(chunk.length, total(), busy(), now - start)
          return pause === 0 ? Effect.succeed(chunk) : Effect.as(Effect.sleep(pause), chunk)
        })
      )
    )
  )
