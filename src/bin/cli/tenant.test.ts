/** On tables that the real engine and the event store filled: all of one tenant, nothing of another. */
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { afterAll } from "vitest"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { approve, startOrders } from "../../../test/support/open-work.ts"
import { until } from "../../../test/support/wait.ts"
import { ExitCode } from "../../domain/ExitCode.ts"
import * as Gates from "../../gates/Database.ts"
import { eventsKeepVerb } from "./events.ts"
import { tenantDeleteVerb, tenantExportVerb, tenantStatusVerb } from "./tenant.ts"
import { remove } from "./tenantData.ts"
import { kept, tables } from "./tenantTables.ts"
import { CliError, runVerb } from "./Verb.ts"

const folder = mkdtempSync(join(tmpdir(), "tenant-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const answered = ["--by", "ann", "--why", "request 4711"]
const deliver = (database: MigratedDatabase, ...words: ReadonlyArray<string>) =>
  runVerb(
    [tenantExportVerb, tenantDeleteVerb, tenantStatusVerb, eventsKeepVerb],
    [...words, "--database-url", database.urlOf("migrator")]
  )
const del = (database: MigratedDatabase, tenant: string) =>
  deliver(database, "tenant", "delete", tenant, "--confirm", tenant, ...answered)

interface Status {
  readonly rows: Record<string, number>
  readonly jobs: ReadonlyArray<{
    readonly kind: string
    readonly state: string
    readonly counts: Record<string, number>
  }>
}
const status = (database: MigratedDatabase, tenant: string) =>
  Effect.map(deliver(database, "tenant", "status", tenant), ({ json }) => json as Status)

/** Two tenants with a row or more in every table: one run of each has been moved, one has not. */
const filled = (database: MigratedDatabase) =>
  Effect.gen(function* () {
    const tenants = ["acme", "acme-2"]
    const ids = yield* startOrders(
      database,
      tenants.flatMap((tenant) => ["old", "new"].map((id) => ({ tenant, id, wait: "approval" as const }))),
      (ids) =>
        Effect.gen(function* () {
          for (const id of ids) yield* approve(id, "ann")
          yield* until(
            "nothing is under way",
            database.query<{ n: number }>(
              `select (select count(*) from cluster.cluster_messages where not processed)::int
                 + 4 - (select count(*) from cluster.cluster_messages m join cluster.cluster_replies r on r.request_id = m.id
                   where m.tag = 'run' and r.payload like '%Complete%')::int as n`
            ),
            ([row]) => row!.n === 0
          ).pipe(Effect.orDie)
        })
    )
    for (const [at, tenant] of tenants.entries()) {
      yield* database.query("insert into agents.sessions (tenant_id, session_id) values ($1, 's')", [tenant])
      yield* database.query("insert into agents.tenant_tiers (tenant_id, tier) values ($1, 'enterprise')", [tenant])
      yield* database.query("insert into agents.tenant_limits (tenant_id, open_runs) values ($1, 5)", [tenant])
      for (const [place, run] of ["old", "new"].entries()) {
        const execution = ids[at * 2 + place]!
        yield* database.query(
          `insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release, finished_at)
           values ($1, $2, 's', $3, 'Order', 'completed', 'r', now() - interval '1 hour' * $4::int)`,
          [tenant, run, execution, run === "old" ? 30 : 1]
        )
        yield* database.query(
          `insert into agents.events (tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release)
           select $1, 's', $4::int * 2000 + n, $2, $3, 'model', n, 'Token', '{"text":"secret"}', 'r' from generate_series(1, 1500) n`,
          [tenant, run, execution, place]
        )
        yield* database.query(
          `insert into agents.token_usage (tenant_id, execution_id, step, workflow, model, input_tokens, output_tokens)
           values ($1, $2, 'model', 'Order', 'local', 1, 1)`,
          [tenant, execution]
        )
        yield* database.query(
          `insert into agents.memories (tenant_id, execution_id, idempotency_key, body) values ($1, $2, $2 || '/tool:1', 'secret')`,
          [tenant, execution]
        )
        yield* database.query(
          `insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
           values ($1, 'Plan', 1, '{"text":"secret"}', 'r', 'f', now(), now())`,
          [execution]
        )
        yield* database.query(
          `insert into agents.engine_repairs (workflow, execution_id, message_id, tag, reply, repaired_by, why)
           values ('Order', $1, 1, 'run', '{}', 'ann', 'test')`,
          [execution]
        )
      }
    }
    yield* deliver(database, "events", "keep")
  })

const onDatabase = <E>(test: (database: MigratedDatabase) => Effect.Effect<void, E, Scope.Scope>) =>
  Effect.flatMap(migratedDatabase, test)

describe("a tenant's data", () => {
  it.scopedLive("is looked for in every table that has a tenant or an execution", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const found = yield* database.query<{ name: string }>(
          `select distinct a.attrelid::regclass::text as name
           from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
           where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and c.relkind in ('r', 'p')
             and not c.relispartition and not a.attisdropped
             and (a.attname like '%tenant%' or a.attname like '%session_id%' or a.attname like '%execution_id%'
               or a.attname like '%run_id%' or a.attname = 'entity_id' or a.attname = 'request_id')
           order by 1`
        )
        expect(found.map(({ name }) => name)).toEqual([...tables, ...kept].map(({ name }) => name).sort())
      })
    )
  )

  it.scopedLive("is exported as of one moment, with a hash and counts that are on record", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* filled(database)
        const out = join(folder, `${database.name}.ndjson`)
        const { exitCode, json } = yield* deliver(database, "tenant", "export", "acme", "--out", out, ...answered)
        expect(exitCode).toBe(ExitCode.passed)
        const content = readFileSync(out, "utf8")
        const rows = content
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as { table: string; row: { tenant_id?: string } })
        const counts: Record<string, number> = {}
        for (const { table } of rows) counts[table] = (counts[table] ?? 0) + 1
        const had = yield* status(database, "acme")
        // The record of the export itself came after it.
        expect({ ...counts, "agents.tenant_jobs": 1 }).toEqual(had.rows)
        expect(Object.values(had.rows).every((n) => n > 0)).toBe(true)
        expect(counts).toMatchObject({ "agents.events": 1500, "agents.agent_events": 1500, "agents.runs": 2 })
        expect(rows.every(({ row }) => row.tenant_id === undefined || row.tenant_id === "acme")).toBe(true)
        expect(json).toMatchObject({ sha256: createHash("sha256").update(content).digest("hex") })
        expect(had.jobs).toMatchObject([{ kind: "export", state: "done", sha256: (json as { sha256: string }).sha256 }])
      })
    )
  )

  it.scopedLive("is removed whole, though the removal is cut, and another tenant keeps all that it has", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* filled(database)
        const had = yield* status(database, "acme")
        const other = yield* status(database, "acme-2")

        // As a process that is killed after each batch in turn, until one is let go on to the end.
        const settings = yield* Gates.fromUrl(database.urlOf("migrator"))
        const cut = new CliError({ exitCode: ExitCode.toolFailed, message: "killed" })
        for (const stop of [1, 4, 6]) {
          let batches = 0
          const exit = yield* Effect.flip(
            remove({ tenant: "acme", by: "ann", why: "request 4711" }, () =>
              ++batches === stop ? Effect.fail(cut) : Effect.void
            ).pipe(Effect.provide(Gates.layer(settings)))
          )
          expect(exit).toBe(cut)
          const between = yield* deliver(database, "tenant", "status", "acme")
          expect(between.exitCode).toBe(ExitCode.refused)
        }
        const done = yield* del(database, "acme")
        expect(done.exitCode).toBe(ExitCode.passed)

        const now = yield* status(database, "acme")
        expect(now.jobs).toMatchObject([{ kind: "removal", state: "done" }])
        const { "agents.tenant_jobs": _jobs, "agents.tenant_limits": limits, ...gone } = had.rows
        expect(limits).toBe(1)
        // Counted over all of its parts, nothing twice.
        expect(now.jobs[0]!.counts).toEqual(gone)
        expect(now.rows).toEqual({
          ...Object.fromEntries(Object.keys(gone).map((table) => [table, 0])),
          "agents.tenant_jobs": 1,
          "agents.tenant_limits": 1
        })
        expect(yield* status(database, "acme-2")).toEqual(other)
        const [limit] = yield* database.query("select open_runs from agents.tenant_limits where tenant_id = 'acme'")
        expect(limit).toEqual({ open_runs: "0" })
      })
    )
  )

  it.scopedLive("is not removed while a run is open, by mistake, or without somebody who answers for it", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* filled(database)
        yield* database.query("update agents.runs set finished_at = null, status = 'waiting' where run_id = 'new'")
        const before = yield* status(database, "acme")
        const open = yield* Effect.flip(del(database, "acme"))
        expect(open).toMatchObject({ exitCode: ExitCode.refused })
        expect(open.message).toContain("has open runs: new.")
        const wrong = yield* Effect.flip(
          deliver(database, "tenant", "delete", "acme", "--confirm", "acme-2", ...answered)
        )
        expect(wrong).toMatchObject({ exitCode: ExitCode.usage })
        const nobody = yield* Effect.flip(
          deliver(database, "tenant", "delete", "acme", "--confirm", "acme", "--why", "x")
        )
        expect(nobody).toMatchObject({ exitCode: ExitCode.usage })
        expect(yield* status(database, "acme")).toEqual(before)
      })
    )
  )
})
