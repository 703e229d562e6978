/** The Postgres roles that the platform makes before the first migration, for tests. */
import { Effect } from "effect"
import pg from "pg"
import type { TestDatabase } from "./database.ts"

const roles = ["migrator", "runtime", "reader", "drill"] as const
export type Role = (typeof roles)[number]

/** Roles belong to the whole server, which several test files share: made once, whoever comes first. */
export const withRoles = (database: TestDatabase): Effect.Effect<{ readonly urlOf: (role: Role) => string }> =>
  Effect.gen(function* () {
    yield* Effect.promise(async () => {
      const client = new pg.Client({ connectionString: database.url })
      await client.connect()
      try {
        await client.query("select pg_advisory_lock(4242)")
        for (const role of roles) {
          await client.query(
            `do $$ begin create role ${role} login password '${role}'; exception when duplicate_object then null; end $$`
          )
        }
        // Lets the migration gate try statements with the rights of the runners.
        await client.query("grant runtime to migrator")
        await client.query(`alter database ${database.name} owner to migrator`)
      } finally {
        await client.end()
      }
    })
    return {
      urlOf: (role) => {
        const url = new URL(database.url)
        url.username = role
        url.password = role
        return url.toString()
      }
    }
  })
