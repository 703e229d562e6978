/**
 * Backups of an embedded Postgres, with the server's own means alone: a base backup and the WAL that came after it, so that any later
 * moment can be restored, as Cloud SQL's point-in-time recovery does it. (The npm package brings no `pg_basebackup` or `pg_dump`, and
 * a newer server's dump is refused by an older tool.)
 */
import { existsSync } from "node:fs"
import { copyFile, mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Schedule, type Scope } from "effect"
import pg from "pg"
import { type Options, type PostgresServer, PostgresUnavailable, start } from "./EmbeddedPostgres.ts"

/** Settings of a server that keeps its WAL in a folder. A segment appears there whole or not at all. */
export const archiving = (folder: string): ReadonlyArray<string> => [
  "wal_level=replica",
  "archive_mode=on",
  `archive_command=cp "%p" "${folder}/.%f" && mv "${folder}/.%f" "${folder}/%f"`
]

const unavailable = (what: string) => (cause: unknown) =>
  new PostgresUnavailable({ message: `${what}: ${cause instanceof Error ? cause.message : cause}` })

const withClient = <A>(server: PostgresServer, what: string, use: (client: pg.Client) => Promise<A>) =>
  Effect.tryPromise({
    try: async () => {
      const client = new pg.Client({ connectionString: server.url("postgres") })
      client.on("error", () => {})
      await client.connect()
      try {
        return await use(client)
      } finally {
        await client.end()
      }
    },
    catch: unavailable(what)
  })

/** Of these folders only the folder is needed: WAL comes from the archive, the rest is made anew at the start. */
const EMPTY = new Set([
  "pg_wal",
  "pg_replslot",
  "pg_dynshmem",
  "pg_notify",
  "pg_serial",
  "pg_snapshots",
  "pg_stat_tmp",
  "pg_subtrans"
])
const LEFT_OUT = /^(postmaster\.(pid|opts)|pg_internal\.init|pgsql_tmp.*)$/

/** The server writes meanwhile: a file may be gone when it is its turn, and WAL says then that it is. */
export const copyFolder = async (from: string, to: string): Promise<void> => {
  await mkdir(to, { recursive: true, mode: 0o700 })
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (LEFT_OUT.test(entry.name)) continue
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) {
      if (EMPTY.has(entry.name)) await mkdir(target, { mode: 0o700 })
      else await copyFolder(source, target)
    } else if (entry.isFile()) {
      await copyFile(source, target).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code !== "ENOENT") throw cause
      })
    }
  }
}

/** Copies the data folder of a running server to `to`, which must not be there. Its WAL archive completes it. */
export const baseBackup = (
  server: PostgresServer,
  dataDir: string,
  to: string
): Effect.Effect<void, PostgresUnavailable> =>
  withClient(server, "No base backup could be made", async (client) => {
    // Begin and end belong to one session.
    await client.query("select pg_backup_start('base', true)")
    await copyFolder(dataDir, to)
    const { rows } = await client.query<{ labelfile: string }>("select labelfile from pg_backup_stop(true)")
    await writeFile(join(to, "backup_label"), rows[0]!.labelfile, { mode: 0o600 })
  })

/** Names this moment, so that it can be restored to, and waits until the archive reaches it. Answers the archive's last segment. */
export const restorePoint = (
  server: PostgresServer,
  name: string,
  archive: string
): Effect.Effect<string, PostgresUnavailable> =>
  Effect.gen(function* () {
    const segment = yield* withClient(server, "No restore point could be made", async (client) => {
      const { rows } = await client.query<{ segment: string }>(
        "select pg_walfile_name(pg_create_restore_point($1)) as segment",
        [name]
      )
      await client.query("select pg_switch_wal()")
      return rows[0]!.segment
    })
    yield* Effect.suspend(() => (existsSync(join(archive, segment)) ? Effect.void : Effect.fail("not yet"))).pipe(
      Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("30 seconds"))),
      Effect.mapError(
        () => new PostgresUnavailable({ message: `WAL segment ${segment} did not reach ${archive} within 30 s.` })
      )
    )
    return segment
  })

/**
 * A moment from before which no transaction is open any more: what was committed by its own clock until then is there for all.
 * Without one, a row that says 12:00:00 may be committed at 12:00:01, after a backup of 12:00:00.
 */
export const settledMoment = (server: PostgresServer): Effect.Effect<string, PostgresUnavailable> =>
  withClient(server, "No moment could be found", async (client) => {
    const { rows } = await client.query<{ now: string }>(
      "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') as now"
    )
    return rows[0]!.now
  }).pipe(
    Effect.tap((moment) =>
      withClient(server, "Transactions could not be seen", async (client) => {
        const { rows } = await client.query<{ open: number }>(
          "select count(*)::int as open from pg_stat_activity where xact_start < $1::timestamptz and pid <> pg_backend_pid()",
          [moment]
        )
        if (rows[0]!.open > 0) throw new Error(`${rows[0]!.open} transactions from before ${moment} are open`)
      }).pipe(Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("30 seconds"))))
    )
  )

/** Starts a server on a base backup, as it was at a restore point. Fails when the archive does not reach it. Ends with the scope. */
export const restored = (
  options: Omit<Options, "settings"> & { readonly archive: string; readonly point: string; readonly password: string }
): Effect.Effect<PostgresServer, PostgresUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.promise(async () => {
      await writeFile(join(options.dataDir, "recovery.signal"), "")
      await writeFile(join(options.dataDir, "..", "superuser-password"), `${options.password}\n`, { mode: 0o600 })
    })
    return yield* start({
      ...options,
      settings: [
        `restore_command=cp "${options.archive}/%f" "%p"`,
        `recovery_target_name=${options.point}`,
        "recovery_target_action=promote",
        // Nobody is let in before it is there.
        "hot_standby=off"
      ]
    })
  })
