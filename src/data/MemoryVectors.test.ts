/** On a server that offers pgvector. `Memories.test.ts` has the same memory on one that does not. */
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { type PgvectorServer, pgvectorServer } from "../../test/support/pgvector-server.ts"
import * as LocalEmbedding from "../agent/model/LocalEmbedding.ts"
import { currentSurface } from "../bin/cli/surfaceSource.ts"
import type { Spender } from "../domain/EventLog.ts"
import { TenantId } from "../domain/Ids.ts"
import { Memory } from "../domain/Memory.ts"
import { eventLog } from "../events/EventStore.ts"
import * as Gates from "../gates/Database.ts"
import * as Drift from "../gates/migrations/Drift.ts"
import { readFolder } from "../gates/migrations/MigrationFile.ts"
import * as Proof from "../gates/migrations/Proof.ts"
import * as ClusterStorage from "../runtime/ClusterStorage.ts"
import * as Database from "../runtime/Database.ts"
import { databaseFromUrl } from "../runtime/Settings.ts"
import * as Memories from "./Memories.ts"

const MIGRATION = "0015_memory_vectors"
const of = (tenantId: string): Spender => ({ tenantId: TenantId.make(tenantId), executionId: `of-${tenantId}` })

const migrations = (chosen: (name: string) => boolean) =>
  Effect.map(readFolder(join(import.meta.dirname, "../../migrations")), (files) =>
    files
      .filter(({ name }) => chosen(name))
      .map(({ sql }) => `begin; set local search_path to agents; ${sql.replace(/\bconcurrently\b/gi, "")}; commit`)
      .join(";\n")
  )

const connected = (server: PgvectorServer, maxConnections = 1) =>
  Database.layer(databaseFromUrl(server.url), { applicationName: "test", maxConnections })

/** All migrations but the one, and an open run of each tenant. */
const before = Effect.gen(function* () {
  const server = yield* pgvectorServer
  yield* server.as("migrator")
  yield* Effect.flatMap(
    migrations((name) => name < MIGRATION),
    server.run
  )
  yield* server.run(
    ["acme", "other"]
      .map(
        (tenant) => `insert into agents.sessions (tenant_id, session_id) values ('${tenant}', 's');
          insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release)
          values ('${tenant}', 'r', 's', 'of-${tenant}', 'AgentWorkflow', 'accepted', 'r')`
      )
      .join(";")
  )
  return server
})

const installed = (server: PgvectorServer) => server.query("select from pg_extension where extname = 'vector'")

/** pgvector refuses what is no number; plain SQL takes it. */
const comparedByPgvector = (server: PgvectorServer) =>
  Effect.isFailure(
    Effect.sandbox(server.query("select agents.vector_distance(array['NaN', 1]::real[], array[1, 1]::real[])"))
  )

it.scopedLive("is compared by pgvector where the migrator may create it, and found for its own tenant alone", () =>
  Effect.gen(function* () {
    const server = yield* before
    // As on Cloud SQL, where the migrator is in cloudsqlsuperuser.
    yield* server.as("postgres")
    yield* Effect.flatMap(
      migrations((name) => name >= MIGRATION),
      server.run
    )
    expect(yield* installed(server)).toHaveLength(1)
    yield* server.as("runtime")
    expect(yield* comparedByPgvector(server)).toBe(true)
    yield* Effect.gen(function* () {
      const memory = yield* Memory
      const texts = (tenant: string, question: string) =>
        Effect.map(memory.recall(of(tenant), "recall", question), (found) => found.map(({ text }) => text))
      yield* memory.remember(of("acme"), "1", "Die Kundenrechnungen gehen an das Büro in Bern")
      yield* memory.remember(of("acme"), "2", "The VPN needs a hardware token")
      yield* memory.remember(of("other"), "1", "Kundenrechnungen von other")
      expect(yield* texts("acme", "Rechnung")).toEqual(["Die Kundenrechnungen gehen an das Büro in Bern"])
      expect(yield* texts("other", "Rechnung")).toEqual(["Kundenrechnungen von other"])
      expect(yield* texts("acme", "what is the weather like today")).toEqual([])
      expect(
        yield* server.query("select from agents.memories where words @@ plainto_tsquery('english', $1)", ["Rechnung"])
      ).toEqual([])
    }).pipe(
      Effect.provide(
        Memories.layer.pipe(
          Layer.provide([LocalEmbedding.layer, eventLog.pipe(Layer.provide(connected(server))), connected(server)])
        )
      )
    )
  })
)

it.scopedLive(
  "works without pgvector where the migrator may not create it, and by it once somebody did, in the same schema",
  () =>
    Effect.gen(function* () {
      const server = yield* before
      yield* Effect.flatMap(
        migrations((name) => name >= MIGRATION),
        server.run
      )
      // node-pg-migrate's own.
      yield* server.run(
        "create table agents.pgmigrations (id serial primary key, name text not null, run_on timestamp not null); grant select on agents.pgmigrations to runtime"
      )
      yield* ClusterStorage.createClusterTables.pipe(Effect.provide(connected(server, 4)))
      const distances = server.query<{ distance: number | null }>(
        `select agents.vector_distance(a::real[], b::real[]) as distance
       from (values ('{1,0}', '{1,0}'), ('{1,0}', '{0.6,0.8}'), ('{1,0}', '{0,1}'), ('{1,0}', '{-1,0}'), ('{0,0}', '{1,0}'),
         ('{1}', '{1,0}'), (null, '{1,0}')) as pair (a, b)`
      )
      const rounded = Effect.map(distances, (rows) =>
        rows.map(({ distance }) => (distance === null ? null : Number(distance.toFixed(6))))
      )
      const settings = yield* Gates.fromUrl(server.url)
      const session = yield* Layer.build(Gates.layer(settings)).pipe(
        Effect.flatMap((context) => Context.get(context, Gates.Database).session)
      )
      const { statements } = yield* currentSurface
      const { demands } = Proof.demands([{ release: "this", standing: "this release", statements }])
      const proven = Effect.gen(function* () {
        yield* session.script("begin")
        const broken = yield* Proof.prove(session, demands)
        yield* session.script("rollback")
        return broken.map(({ demand, failure }) => `${demand.needers[0]?.name}: ${failure.message}`)
      })

      expect(yield* installed(server)).toEqual([])
      expect(yield* comparedByPgvector(server)).toBe(false)
      const plain = yield* rounded
      expect(plain).toEqual([0, 0.4, 1, 2, 1, null, null])
      expect(yield* proven).toEqual([])
      const schema = yield* Drift.live(session)

      yield* server.as("postgres")
      yield* server.run("create extension vector with schema public")
      yield* server.as("migrator")
      expect(yield* comparedByPgvector(server)).toBe(true)
      expect(yield* rounded).toEqual(plain)
      expect(demands.length).toBeGreaterThan(50)
      expect(yield* proven).toEqual([])
      expect(Drift.drift(yield* Drift.live(session), schema)).toEqual([])
    })
)
