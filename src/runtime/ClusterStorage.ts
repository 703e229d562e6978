/**
 * The cluster's own tables. The migration step makes them as their owner; runners and gateways use them and need no right
 * to create anything.
 */
import {
  type ClusterError,
  type MessageStorage,
  type RunnerStorage,
  ShardingConfig,
  Snowflake,
  SqlMessageStorage,
  SqlRunnerStorage
} from "@effect/cluster"
import { RunnerStorage as RunnerStorageTag } from "@effect/cluster/RunnerStorage"
import { ShardId } from "@effect/cluster/ShardId"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlStatement from "@effect/sql/Statement"
import { Clock, Context, Duration, Effect, Fiber, Layer, Option } from "effect"
import * as Alarm from "./Alarm.ts"
import type { Pool } from "./Database.ts"
import * as Holding from "./Holding.ts"
import * as ShardEpochs from "./journal/ShardEpochs.ts"
import * as PatientStorage from "./PatientStorage.ts"
import * as EndsOnce from "./storage/EndsOnce.ts"
import * as GroupStorage from "./storage/GroupStorage.ts"

/**
 * Makes or brings forward the tables, by the library's own migrators, in the first schema of the connection's search path.
 * Run it as the owner, in one process: two at once on an empty database collide on Postgres' catalogue.
 * With `shardLockDisableAdvisory` it also makes `cluster_locks`, so that a change to row locks needs no DDL.
 */
export const createClusterTables: Effect.Effect<void, SqlError, SqlClient> = Effect.all([
  SqlMessageStorage.make(),
  SqlRunnerStorage.make({})
]).pipe(
  Effect.scoped,
  Effect.provide(Snowflake.layerGenerator),
  Effect.provideService(ShardingConfig.ShardingConfig, { ...ShardingConfig.defaults, shardLockDisableAdvisory: true }),
  Effect.asVoid
)

/**
 * The library says `CREATE TABLE IF NOT EXISTS` and locks its migrations table at every start. Postgres checks the right to
 * create before it looks whether the table is there, so this would need CREATE on the schema for a statement without effect.
 */
const withoutDdl: SqlStatement.Statement.Transformer = (statement, sql) =>
  Effect.sync(() => {
    const [text] = statement.compile()
    return /^\s*(CREATE TABLE IF NOT EXISTS|LOCK TABLE)/.test(text) ? sql`SELECT 1 WHERE false` : statement
  })

/**
 * How long a query about locks may take. The library allows a third of `shardLockExpiration` (5 s), and then drops all
 * shards and cuts every step on them: with ten times more work than processors, runners did so every ten seconds, and
 * nothing went on. A session that answers slowly still holds its locks, so it gets more time, on its own connection.
 */
const LOCK_QUERY = Duration.seconds(15)

/** After this a refresh that is under way is answered with what was held before: its caller gives up after 5 s of a busy loop. */
const BELIEVE_AFTER = Duration.seconds(1)

/**
 * For how long shards that are still another's are asked for again, in milliseconds. The library asks and then sleeps a second:
 * a runner that stops gives up what is at work some tenths of a second after the rest, and that had to wait out the sleep.
 * A slow database is not asked again: the library takes an answer that lasts longer than 5 s for none.
 */
const ASK_AGAIN_FOR = 500
const ASK_AGAIN = Duration.millis(100)

/** `acquire` that waits a little for what is just being given up. What others keep for longer is left for the next turn. */
export const askedAgain =
  (acquire: RunnerStorage.RunnerStorage["Type"]["acquire"]): RunnerStorage.RunnerStorage["Type"]["acquire"] =>
  (address, shards) =>
    Effect.gen(function* () {
      const asked = [...shards]
      const until = (yield* Clock.currentTimeMillis) + ASK_AGAIN_FOR
      while (true) {
        const acquired = yield* acquire(address, asked)
        // The answer also has what the session holds already.
        const held = new Set(acquired.map(ShardId.toString))
        if (asked.every((shard) => held.has(ShardId.toString(shard)))) return acquired
        if ((yield* Clock.currentTimeMillis) >= until) return acquired
        yield* Effect.sleep(ASK_AGAIN)
      }
    })

/** `refresh` that waits longer than its caller: a slow answer is awaited by the next refresh, a failure is told at once. */
const withPatience = (storage: RunnerStorage.RunnerStorage["Type"]) =>
  Effect.map(Effect.scope, (scope) => {
    type Refresh = Fiber.RuntimeFiber<Array<ShardId>, ClusterError.PersistenceError>
    let underway: Refresh | undefined
    return RunnerStorageTag.of({
      ...storage,
      acquire: askedAgain(storage.acquire),
      refresh: (address, shards) =>
        Effect.gen(function* () {
          const asked = [...shards]
          // The answer to an earlier refresh knows nothing of shards that were taken since.
          const late = underway
          if (late !== undefined && late.unsafePoll() === null) {
            const exit = yield* Fiber.await(late).pipe(Effect.timeoutOption(BELIEVE_AFTER))
            return Option.isSome(exit) ? yield* Effect.as(exit.value, asked) : asked
          }
          const fresh: Refresh = yield* Effect.forkIn(storage.refresh(address, asked), scope)
          underway = fresh
          const exit = yield* Fiber.await(fresh).pipe(Effect.timeoutOption(BELIEVE_AFTER))
          return Option.isSome(exit) ? yield* exit.value : asked
        })
    })
  })

const runnerStorage = Effect.gen(function* () {
  const config = yield* ShardingConfig.ShardingConfig
  const storage = yield* SqlRunnerStorage.make({}).pipe(
    SqlStatement.withTransformer(withoutDdl),
    Effect.provideService(ShardingConfig.ShardingConfig, {
      ...config,
      shardLockRefreshInterval: LOCK_QUERY,
      shardLockExpiration: Duration.times(LOCK_QUERY, 3)
    })
  )
  const { acquiring, refreshing, epochs } = yield* ShardEpochs.counting
  return { storage: acquiring(yield* withPatience(refreshing(storage))), epochs }
})

/** `stock` is the library's own message storage, `group` the one with group commit on the same tables. */
export type MessageStorageKind = "stock" | "group"

/** Fails as a defect when the tables are missing or older than this release's library: the migration step did not run. */
export const layer = (
  kind: MessageStorageKind
): Layer.Layer<
  | MessageStorage.MessageStorage
  | PatientStorage.Answering
  | RunnerStorage.RunnerStorage
  | ShardEpochs.ShardEpochs
  | Holding.Holding
  | Alarm.Alarm,
  SqlError,
  SqlClient | ShardingConfig.ShardingConfig | Pool
> =>
  Layer.mergeAll(
    Alarm.layer.pipe(
      Layer.provideMerge(PatientStorage.layer),
      Layer.provide(EndsOnce.layer),
      Layer.provide(kind === "group" ? GroupStorage.layer : SqlMessageStorage.layer),
      Layer.provideMerge(Holding.layer)
    ),
    Layer.scopedContext(
      Effect.map(runnerStorage, ({ storage, epochs }) =>
        Context.make(RunnerStorageTag, storage).pipe(Context.add(ShardEpochs.ShardEpochs, epochs))
      )
    )
  )
