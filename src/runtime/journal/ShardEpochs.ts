/**
 * Under which number this process took each of its shards.
 *
 * The library holds a shard with an advisory lock of a session of its own, which no other statement can see cheaply. So each
 * taking of a shard counts a row up, after the lock is there and before anything runs on the shard. A statement that names
 * the number is then refused when somebody else took the shard since: a runner that was frozen, or whose session was ended,
 * can't write what its successor does not know of.
 */
import type { RunnerStorage } from "@effect/cluster"
import { PersistenceError } from "@effect/cluster/ClusterError"
import { RunnerStorage as RunnerStorageTag } from "@effect/cluster/RunnerStorage"
import { ShardId } from "@effect/cluster/ShardId"
import { Context, Effect } from "effect"
import { Pool } from "../Database.ts"
import { runner } from "../storage/prepared.ts"
import * as statements from "./statements.ts"

export class ShardEpochs extends Context.Tag("runtime/ShardEpochs")<
  ShardEpochs,
  {
    /** Of a shard as it is written in the tables; `undefined` when this process never took it. */
    readonly of: (shardId: string) => string | undefined
  }
>() {}

/** The storage, whose shards are counted when they are taken, and the counts. */
export const counting = (storage: RunnerStorage.RunnerStorage["Type"]) =>
  Effect.map(Pool, (pool) => {
    const run = runner(pool)
    const epochs = new Map<string, string>()
    return {
      epochs: ShardEpochs.of({ of: (shardId) => epochs.get(shardId) }),
      storage: RunnerStorageTag.of({
        ...storage,
        acquire: (address, shards) =>
          Effect.gen(function* () {
            const asked = [...shards]
            const acquired = yield* storage.acquire(address, asked)
            // The library also answers shards that the session holds already: their work must not be refused.
            const wanted = new Set(asked.map(ShardId.toString))
            const fresh = acquired.map(ShardId.toString).filter((shard) => wanted.has(shard))
            if (fresh.length === 0) return acquired
            const taken = yield* PersistenceError.refail(run(statements.take, fresh, `${address.host}:${address.port}`))
            for (const { shardId, epoch } of taken) epochs.set(shardId, epoch)
            return acquired
          })
      })
    }
  })
