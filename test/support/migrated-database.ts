/** A database as the migration step leaves it: roles, schemas, our tables and the cluster's. */
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { runner } from "node-pg-migrate"
import pg from "pg"
import { inject } from "vitest"
import * as ClusterStorage from "../../src/runtime/ClusterStorage.ts"
import * as Database from "../../src/runtime/Database.ts"
import { databaseFromUrl } from "../../src/runtime/Settings.ts"
import { type TestDatabase, testDatabase } from "./database.ts"

const roles = ["migrator", "runtime", "reader", "drill"] as const
export type Role = (typeof roles)[number]

export interface MigratedDatabase extends TestDatabase {
  /** The URL of a role, with the rights that it has in production. */
  readonly urlOf: (role: Role) => string
}

/** Roles belong to the server, which all test files share: made once, by whoever comes first. */
const makeRoles = Effect.promise(async () => {
  const admin = new pg.Client({ connectionString: `${inject("postgres")}postgres` })
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

/** `testDatabase`, owned by `migrator`, without any schema of ours yet: the platform's part alone. */
export const platformDatabase: Effect.Effect<MigratedDatabase, never, Scope.Scope> = Effect.gen(function* () {
  yield* makeRoles
  const database = yield* testDatabase
  yield* database.query(`alter database ${database.name} owner to migrator`)
  const urlOf = (role: Role) => {
    const url = new URL(database.url)
    url.username = role
    url.password = role
    return url.toString()
  }
  return { ...database, urlOf }
})

/** Applies all of `migrations/`, then makes the cluster's tables, both as `migrator`. */
export const migratedDatabase: Effect.Effect<MigratedDatabase, never, Scope.Scope> = Effect.gen(function* () {
  const database = yield* platformDatabase
  const url = database.urlOf("migrator")
  yield* Effect.promise(() =>
    runner({
      databaseUrl: url,
      dir: fileURLToPath(new URL("../../migrations/*.sql", import.meta.url)),
      useGlob: true,
      direction: "up",
      migrationsTable: "pgmigrations",
      migrationsSchema: "agents",
      createMigrationsSchema: true,
      log: () => {}
    })
  )
  yield* ClusterStorage.createClusterTables.pipe(
    Effect.provide(Database.layer(databaseFromUrl(url), { applicationName: "migrate", maxConnections: 4 })),
    Effect.orDie
  )
  return database
})
