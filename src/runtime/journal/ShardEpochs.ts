/**
 * Under which number this process took each of its shards.
 *
 * The library holds a shard with an advisory lock of a session of its own, which no other statement can see cheaply. So each
 * taking of a shard counts a row up, after the lock is there and before anything runs on the shard. A statement that names
 * the number is then refused when somebody else took the shard since: a runner that was frozen, or whose session was ended,
 * can't write what its successor does not know of.
 */
import type { RunnerAddress, RunnerStorage } from "@effect/cluster"
import { PersistenceError } from "@effect/cluster/ClusterError"
import { RunnerStorage as RunnerStorageTag } from "@effect/cluster/RunnerStorage"
import { ShardId } from "@effect/cluster/ShardId"
import { Context, Effect, Fiber } from "effect"
import { Pool } from "../Database.ts"
import { runner } from "../storage/prepared.ts"
import * as statements from "./statements.ts"

type Storage = RunnerStorage.RunnerStorage["Type"]

export class ShardEpochs extends Context.Tag("runtime/ShardEpochs")<
  ShardEpochs,
  {
    /** Of a shard as it is written in the tables; `undefined` when this process never took it. */
    readonly of: (shardId: string) => string | undefined
  }
>() {}

/**
 * The counts, and what counts in a storage. The library takes shards in two ways: it asks for those that it lacks, and when it
 * refreshes its locks it takes again what a lost session held. In between another runner may have had them.
 */
export const counting = Effect.map(Pool, (pool) => {
  const run = runner(pool)
  const epochs = new Map<string, string>()
  const take = (address: RunnerAddress.RunnerAddress, shards: ReadonlyArray<string>) =>
    Effect.map(run(statements.take, shards, `${address.host}:${address.port}`), (taken) => {
      for (const { shardId, epoch } of taken) {
        const known = epochs.get(shardId)
        if (known === undefined || BigInt(known) < BigInt(epoch)) epochs.set(shardId, epoch)
      }
    }).pipe(
      // Who waits for it may give up, and the statement is carried out all the same: its answer counts then, too.
      Effect.forkDaemon,
      Effect.flatMap(Fiber.join),
      PersistenceError.refail
    )
  /** Those of these that are held, and were counted by somebody else since. */
  const overtaken = (held: ReadonlyArray<string>) =>
    Effect.map(
      PersistenceError.refail(
        run(
          statements.overtaken,
          held,
          held.map((shard) => epochs.get(shard) ?? "0")
        )
      ),
      (rows) => rows.map(({ shardId }) => shardId)
    )
  return {
    epochs: ShardEpochs.of({ of: (shardId) => epochs.get(shardId) }),
    acquiring: (storage: Storage): Storage =>
      RunnerStorageTag.of({
        ...storage,
        acquire: (address, shards) =>
          Effect.gen(function* () {
            const asked = [...shards]
            const acquired = yield* storage.acquire(address, asked)
            // The library also answers shards that the session holds already: their work must not be refused.
            const wanted = new Set(asked.map(ShardId.toString))
            const fresh = acquired.map(ShardId.toString).filter((shard) => wanted.has(shard))
            if (fresh.length > 0) yield* take(address, fresh)
            return acquired
          })
      }),
    /** `storage` must answer what the database said just now, and not what it believes: a count is only the holder's to raise. */
    refreshing: (storage: Storage): Storage =>
      RunnerStorageTag.of({
        ...storage,
        refresh: (address, shards) =>
          Effect.tap(storage.refresh(address, shards), (held) =>
            Effect.gen(function* () {
              if (held.length === 0) return
              const others = yield* overtaken(held.map(ShardId.toString))
              if (others.length === 0) return
              yield* Effect.logWarning(
                "Shards came back that another runner had taken: what ran on them begins anew"
              ).pipe(Effect.annotateLogs({ shards: others.join(" ") }))
              yield* take(address, others)
            }).pipe(
              // The locks are held, which is what is asked. The next refresh looks again.
              Effect.catchAllCause((cause) => Effect.logWarning("Could not compare the counts of shards", cause))
            )
          )
      })
  }
})
