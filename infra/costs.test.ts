/** The SQL of costs, asked of a real Postgres. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Client } from "pg"
import { migratedDatabase } from "../test/support/migrated-database.ts"
import { shareOut, usageByDay } from "./costs.ts"

it.scopedLive("tells BigQuery the tokens and their price by tenant, day and model, with the reader's rights", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    yield* database.query(`insert into agents.model_prices (model, valid_from, input_usd_per_million, output_usd_per_million)
      values ('m', '2026-01-01', 2, 10), ('m', '2026-01-02', 4, 10)`)
    yield* database.query(`insert into agents.token_usage
      (tenant_id, execution_id, step, workflow, model, input_tokens, output_tokens, recorded_at) values
      ('acme', 'e', '1', 'w', 'm', 1, 1, '2026-01-01T23:59:59Z'), ('acme', 'e', '2', 'w', 'm', 1, 1, '2026-01-02T00:00:00Z'),
      ('acme', 'e', '3', 'w', 'm', 1000000, 0, '2026-01-02T12:00:00Z'), ('globex', 'e', '4', 'w', 'free', 7, 0, '2026-01-02T12:00:00Z')`)
    const rows = yield* Effect.acquireUseRelease(
      Effect.promise(async () => {
        const client = new Client({ connectionString: database.urlOf("reader") })
        await client.connect()
        return client
      }),
      (client) =>
        Effect.promise(() =>
          client.query(`select tenant_id, to_char(day, 'YYYY-MM-DD') as day, model,
        input_tokens::text, output_tokens::text, usd::numeric::float8 as usd from (${usageByDay}) q order by 1, 2, 3`)
        ),
      (client) => Effect.promise(() => client.end())
    )
    expect(rows.rows.map((row: object) => Object.values(row))).toEqual([
      ["acme", "2026-01-01", "m", "1", "1", 0.000012],
      ["acme", "2026-01-02", "m", "1000001", "1", 4.000014],
      ["globex", "2026-01-02", "free", "7", "0", 0]
    ])
  })
)

it.scopedLive("shares out a day's bill by tokens, leaves a day without use to nobody, and loses and adds nothing", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    yield* database.query("create table public.billing (day date, usd numeric)")
    yield* database.query(
      "create table public.token_usage (day date, tenant_id text, input_tokens bigint, output_tokens bigint, usd numeric)"
    )
    yield* database.query("insert into public.billing values ('2026-01-01', 10), ('2026-01-02', 6), ('2026-01-03', 4)")
    yield* database.query(`insert into public.token_usage values
      ('2026-01-01', 'acme', 100, 200, 1), ('2026-01-01', 'globex', 100, 0, 2),
      ('2026-01-03', 'acme', 0, 0, 0), ('2026-01-03', 'globex', 0, 0, 0), ('2026-01-04', 'acme', 5, 5, 3)`)
    const asked =
      yield* database.query(`select to_char(day, 'YYYY-MM-DD') as day, tenant_id, model_usd::float8, platform_usd::float8
      from (${shareOut("public.billing", "public.token_usage")}) q order by 1, 2`)
    const rows = asked as unknown as ReadonlyArray<{
      day: string
      tenant_id: string
      model_usd: number
      platform_usd: number
    }>
    expect(rows.map((row) => Object.values(row))).toEqual([
      ["2026-01-01", "acme", 1, 7.5],
      ["2026-01-01", "globex", 2, 2.5],
      ["2026-01-02", "(nobody)", 0, 6],
      ["2026-01-03", "acme", 0, 2],
      ["2026-01-03", "globex", 0, 2],
      ["2026-01-04", "acme", 3, 0]
    ])
    expect(rows.reduce((sum, row) => sum + row.platform_usd, 0)).toBe(20)
  })
)
