import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { migratedDatabase } from "./migrated-database.ts"

it.scopedLive("gives a database with our tables and the cluster's, that the runtime role may use and not change", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const tables = yield* database.query<{ name: string; may: boolean; owner: string }>(
      `select schemaname || '.' || tablename as name, tableowner as owner,
        has_table_privilege('runtime', schemaname || '.' || tablename, 'select') as may
       from pg_tables where schemaname in ('agents', 'cluster') order by 1`
    )
    expect(tables.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "agents.events",
        "agents.pgmigrations",
        "agents.runners",
        "agents.runs",
        "agents.sessions",
        "agents.token_usage",
        "cluster.cluster_locks",
        "cluster.cluster_messages",
        "cluster.cluster_migrations",
        "cluster.cluster_replies",
        "cluster.cluster_runners"
      ])
    )
    expect(tables.every(({ owner }) => owner === "migrator")).toBe(true)
    const [rights] = yield* database.query(
      "select has_schema_privilege('runtime', 'cluster', 'create') as create, has_schema_privilege('runtime', 'agents', 'create') as create_agents"
    )
    expect(rights).toEqual({ create: false, create_agents: false })
  })
)
