/** A database as the migration step leaves it: roles, schemas, our tables and the cluster's. */
import { Effect, type Scope } from "effect"
import { inject } from "vitest"
import { type TestDatabase, testDatabase } from "./database.ts"
import { makeRoles, migrate, type Role, urlAs } from "./migrate.ts"

export type { Role }

export interface MigratedDatabase extends TestDatabase {
  /** The URL of a role, with the rights that it has in production. */
  readonly urlOf: (role: Role) => string
}

/** `testDatabase`, owned by `migrator`, without any schema of ours yet: the platform's part alone. */
export const platformDatabase: Effect.Effect<MigratedDatabase, never, Scope.Scope> = Effect.gen(function* () {
  yield* makeRoles(`${inject("postgres")}postgres`)
  const database = yield* testDatabase
  yield* database.query(`alter database ${database.name} owner to migrator`)
  return { ...database, urlOf: (role: Role) => urlAs(database.url, role) }
})

/** Applies all of `migrations/`, then makes the cluster's tables, both as `migrator`. */
export const migratedDatabase: Effect.Effect<MigratedDatabase, never, Scope.Scope> = Effect.tap(
  platformDatabase,
  (database) => migrate(database.urlOf("migrator"))
)
