/** What the platform and the migration step leave in a server: roles, schemas, our tables and the cluster's. Without vitest. */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { type MigrationBuilder, runner } from "node-pg-migrate"
import pg from "pg"
import * as ClusterStorage from "../../src/runtime/ClusterStorage.ts"
import * as Database from "../../src/runtime/Database.ts"
import { databaseFromUrl } from "../../src/runtime/Settings.ts"

const roles = ["migrator", "runtime", "reader", "drill"] as const
export type Role = (typeof roles)[number]

/** The same database as another role, whose password is its name. */
export const urlAs = (databaseUrl: string, role: Role): string => {
  const url = new URL(databaseUrl)
  url.username = role
  url.password = role
  return url.toString()
}

/** Roles belong to the server, which several test files may share: made once, by whoever comes first. */
export const makeRoles = (adminUrl: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    const admin = new pg.Client({ connectionString: adminUrl })
    await admin.connect()
    try {
      await admin.query("select pg_advisory_lock(hashtext('test roles'))")
      for (const role of roles) {
        const { rowCount } = await admin.query("select from pg_roles where rolname = $1", [role])
        if (rowCount === 0) await admin.query(`create role ${role} login password '${role}'`)
      }
      await admin.query("grant pg_signal_backend to drill")
      // Lets the migration gate try statements with the rights of the runners.
      await admin.query("grant runtime to migrator")
    } finally {
      await admin.end()
    }
  })

/** All files run in one transaction here, where nothing can be concurrent; a new database has nobody to keep waiting. */
const withoutConcurrency = (paths: ReadonlyArray<string>) =>
  Promise.all(
    paths.map(async (path) => {
      const sql = (await readFile(path, "utf8")).replace(/\bconcurrently\b/gi, "")
      return {
        id: path,
        filePaths: [path],
        actions: { up: (pgm: MigrationBuilder) => pgm.sql(sql), down: false as const }
      }
    })
  )

/** Applies all of `migrations/`, then makes the cluster's tables, both as the role of the URL: `migrator`. */
export const migrate = (migratorUrl: string): Effect.Effect<void> =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      // The runner's own connection is not waited for when it ends: dropped under it, a database of a short test failed that test.
      const client = new pg.Client({ connectionString: migratorUrl })
      await client.connect()
      return client
    }),
    (dbClient) =>
      Effect.promise(() =>
        runner({
          dbClient,
          dir: fileURLToPath(new URL("../../migrations/*.sql", import.meta.url)),
          useGlob: true,
          direction: "up",
          migrationsTable: "pgmigrations",
          migrationsSchema: "agents",
          createMigrationsSchema: true,
          migrationLoaderStrategies: [{ extensions: [".sql"], loader: withoutConcurrency }],
          log: () => {}
        })
      ),
    (client) => Effect.promise(() => client.end())
  ).pipe(
    Effect.andThen(
      ClusterStorage.createClusterTables.pipe(
        Effect.provide(Database.layer(databaseFromUrl(migratorUrl), { applicationName: "migrate", maxConnections: 4 })),
        Effect.orDie
      )
    )
  )
