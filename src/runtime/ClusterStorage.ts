/**
 * The cluster's own tables. The migration step makes them as their owner; runners and gateways use them and need no right
 * to create anything.
 */
import {
  type MessageStorage,
  type RunnerStorage,
  ShardingConfig,
  Snowflake,
  SqlMessageStorage,
  SqlRunnerStorage
} from "@effect/cluster"
import { RunnerStorage as RunnerStorageTag } from "@effect/cluster/RunnerStorage"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlStatement from "@effect/sql/Statement"
import { Effect, Layer } from "effect"

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

/** Fails as a defect when the tables are missing or older than this release's library: the migration step did not run. */
export const layer: Layer.Layer<
  MessageStorage.MessageStorage | RunnerStorage.RunnerStorage,
  SqlError,
  SqlClient | ShardingConfig.ShardingConfig
> = Layer.mergeAll(
  SqlMessageStorage.layer,
  Layer.scoped(RunnerStorageTag, SqlRunnerStorage.make({}).pipe(SqlStatement.withTransformer(withoutDdl)))
)
