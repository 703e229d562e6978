/** The pool of connections to Postgres. */

import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Layer, Schedule } from "effect"
import type pg from "pg"
import { RotatingPool } from "./Secrets.ts"
import type { DatabaseSettings } from "./Settings.ts"

/**
 * Sent in each connection's start-up message, so that they hold however the role is set up.
 *
 * - The library's tables have no schema in its statements: `cluster` comes first. Ours are always written `agents.x`.
 * - A runner holds its shards by advisory locks, which live as long as its connection. When its node loses power nobody
 *   closes the connection, and Postgres with the system's TCP defaults notices after hours (measured: shards locked for as
 *   long as we looked). With these it ended the session after 7 s. On a local socket they do nothing.
 * - A transaction that its process forgot must not hold locks for ever.
 * - A connection that its process ended in the middle of a statement (`BusyClients.ts`) must not wait for a lock any longer.
 * - Each hot statement has an index. Until a table's statistics are gathered, which is a minute after it began to grow, Postgres
 *   thinks that reading all of it is cheaper: measured with 20,000 messages, `storage.unprocessed` took 17 ms instead of 0.4 ms, at
 *   each poll. Where there is no index a table is read as before; compiling is off, since what is dear only on paper would be.
 */
const SESSION = [
  ["search_path", "cluster,agents"],
  ["tcp_keepalives_idle", "3"],
  ["tcp_keepalives_interval", "2"],
  ["tcp_keepalives_count", "2"],
  ["tcp_user_timeout", "7000"],
  ["idle_in_transaction_session_timeout", "30000"],
  ["client_connection_check_interval", "2000"],
  ["timezone", "UTC"],
  ["enable_seqscan", "off"],
  ["jit", "off"]
] as const

/** A client waits this long for a connection, be it a new one or one that others hold. */
const CONNECT_TIMEOUT = Duration.seconds(5)

/** How long a starting process waits for its database: DNS and a database that starts beside it take some seconds. */
const START_PATIENCE = Duration.seconds(30)

export interface Options {
  /** Shown in `pg_stat_activity`: the pod's name. */
  readonly applicationName: string
  readonly maxConnections: number
}

const poolConfig = (settings: DatabaseSettings, options: Options): Omit<pg.PoolConfig, "password"> => ({
  host: settings.host,
  port: settings.port,
  database: settings.database,
  user: settings.username,
  ssl: settings.tls ? { rejectUnauthorized: false } : false,
  max: options.maxConnections,
  connectionTimeoutMillis: Duration.toMillis(CONNECT_TIMEOUT),
  idleTimeoutMillis: 60_000,
  keepAlive: true,
  keepAliveInitialDelayMillis: 3_000,
  application_name: options.applicationName,
  options: SESSION.map(([name, value]) => `-c ${name}=${value}`).join(" ")
})

const connect = (pool: pg.Pool, settings: DatabaseSettings) =>
  Effect.tryPromise({
    try: () => pool.query("select 1"),
    catch: (cause) =>
      new SqlError({
        cause,
        message:
          `The database ${settings.database} on ${settings.host}:${settings.port} did not accept user ${settings.username}: ` +
          (cause instanceof Error ? cause.message : String(cause))
      })
  }).pipe(
    // 28: wrong password or user, 3D: no such database. Waiting does not help there.
    Effect.retry({
      schedule: Schedule.spaced("250 millis").pipe(Schedule.upTo(START_PATIENCE)),
      while: ({ cause }) => !/^(28|3D)/.test(String((cause as { readonly code?: unknown } | undefined)?.code ?? ""))
    })
  )

/** The pool itself, for whoever needs more of `pg` than the SQL client offers: prepared statements by name. */
export class Pool extends Context.Tag("runtime/Pool")<Pool, pg.Pool>() {}

const pool = (settings: DatabaseSettings, options: Options) =>
  Effect.gen(function* () {
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => new RotatingPool(poolConfig(settings, options), settings.password)),
      (pool) => Effect.promise(() => pool.end()).pipe(Effect.interruptible, Effect.timeoutOption("2 seconds"))
    )
    // An idle connection that breaks is replaced at its next use; without a listener it would end the process.
    pool.on("error", () => {})
    yield* connect(pool, settings)
    return pool
  })

/** Fails when the database can't be reached at start. Later it reconnects by itself. */
export const layer = (
  settings: DatabaseSettings,
  options: Options
): Layer.Layer<PgClient.PgClient | SqlClient | Pool, SqlError> =>
  Layer.unwrapScoped(
    Effect.map(pool(settings, options), (opened) =>
      PgClient.layerFromPool({ applicationName: options.applicationName, acquire: Effect.succeed(opened) }).pipe(
        Layer.merge(Layer.succeed(Pool, opened))
      )
    )
  )
