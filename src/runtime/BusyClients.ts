/**
 * What becomes of a connection that is given back while one of its statements is under way: it is ended.
 *
 * Whoever is interrupted in a statement asks Postgres to cancel it, by another connection of the pool, and gives its own back
 * when that took too long. When many are interrupted at once, as when a runner loses its shards, there is no other connection:
 * each of them waits for one, in vain, and then all are back in the pool with statements that still wait for a lock. The pool gives
 * the one out first that came back last, so whoever asks next waits behind a statement of which nobody knows any more, and there
 * is no limit to that.
 */
import type pg from "pg"

/** `pg` says it nowhere else: its public getters warn of their own removal. */
interface Inner {
  readonly _activeQuery?: unknown
  readonly _queryQueue?: ReadonlyArray<unknown>
}

const isBusy = (client: pg.PoolClient): boolean => {
  const { _activeQuery, _queryQueue } = client as unknown as Inner
  return (_activeQuery ?? undefined) !== undefined || (_queryQueue?.length ?? 0) > 0
}

/** The pool sets `release` anew at each taking. */
export const endedWhenBusy = (client: pg.PoolClient): pg.PoolClient => {
  const release = client.release
  client.release = (error) => release.call(client, error ?? isBusy(client))
  return client
}
