/**
 * `make bench-retention`: what it takes to remove ended executions from large engine tables, and what others feel of it meanwhile, on a
 * Postgres of its own that keeps its word (fsync). Environment:
 *
 *     EXECUTIONS=125000   of 8 rows each in the engine's tables, with a run and two steps of the journal; half of them are due
 *
 * The removal is the runners' own statement, batch by batch as in `EngineLife`, without its pauses. Beside it a client writes a message
 * and its reply, one transaction after the other, before the removal and during it. Writes docs/retention-performance.md.
 * Ends with 1 when something is left that was due, or gone that was not.
 */
import { writeFile } from "node:fs/promises"
import { loadavg } from "node:os"
import { join } from "node:path"
import { Snowflake } from "@effect/cluster"
import { Effect, Fiber } from "effect"
import pg from "pg"
import * as EngineTables from "../../src/data/EngineTables.ts"
import * as Database from "../../src/runtime/Database.ts"
import { databaseFromUrl } from "../../src/runtime/Settings.ts"
import { machine, median, number, print, quantile, world } from "./world.ts"

const executions = number("EXECUTIONS", 125_000)
const SHARDS = 600
const OPEN = 5_000

const result =
  '{"_tag":"Success","value":{"_tag":"Complete","exit":{"_tag":"Success","value":{"text":"some forty characters of an answer"}}}}'
const waiting = '{"_tag":"Success","value":{"_tag":"Suspended"}}'

/** A snowflake of so many hours ago, and room for the parts of each execution. */
const idOf = (hours: string) =>
  `((extract(epoch from now()) * 1000)::bigint - ${Snowflake.constEpochMillis} - 3600000 * ${hours}) << 22`

const seed = `
create temporary table given as
  select n, md5(n::text) as entity, 'default:' || (n % ${SHARDS}) + 1 as shard,
    case when n <= $1 / 2 then 48 else 1 end as hours, n > $1 as open
  from generate_series(1, $1 + ${OPEN}) n;
insert into agents.sessions (tenant_id, session_id) select 'bench', 's' || n from generate_series(0, 999) n;
insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release, accepted_at, finished_at)
  select 'bench', 'r' || n, 's' || n % 1000, entity, 'AgentWorkflow', case when open then 'waiting' else 'completed' end, 'bench',
    now() - interval '1 hour' * (hours + 1), case when open then null else now() - interval '1 hour' * hours end from given;
insert into agents.steps select entity, 'Plan', part, '{}', 'bench', 'f', now() - interval '1 hour' * hours, now() - interval '1 hour' * hours
  from given, generate_series(1, 2) part;
create temporary table parts as
  select g.*, part, (${idOf("hours")}) + n::bigint * 20 + part * 2 as id from given g, generate_series(0, 3) part;
insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
  select id, 'bench/' || id, shard, 'Workflow/AgentWorkflow', entity, 0, case part when 0 then 'run' else 'activity' end,
    case part when 0 then '{"tenantId":"bench","runId":"r","message":"hello"}' else '{"name":"CallTool#' || part || '","attempt":1}' end,
    '{}', true, id from parts order by id;
insert into cluster.cluster_replies (id, kind, request_id, payload)
  select id + 1, 0, id, case when open and part = 0 then '${waiting}' else '${result}' end from parts order by id;
drop table parts; drop table given`

const COUNT = `select (select count(*) from cluster.cluster_messages where message_id like 'bench/%')::int as messages,
  (select count(*) from cluster.cluster_replies)::int as replies, (select count(*) from agents.steps)::int as steps,
  (select count(distinct entity_id) from cluster.cluster_messages m join agents.runs r on r.execution_id = m.entity_id
    where r.finished_at is null or r.finished_at > now() - interval '24 hours')::int as kept`

interface Counted {
  readonly messages: number
  readonly replies: number
  readonly steps: number
  readonly kept: number
}

/** Ms of each transaction that a runner's reply would be, for as long as it is not interrupted. */
const others = (client: pg.Client, into: Array<number>) =>
  Effect.forever(
    Effect.promise(async () => {
      const began = performance.now()
      const id = crypto.randomUUID()
      await client.query("begin")
      await client.query(
        `insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
         values (nextval('bench_ids'), $1, 'default:' || (1 + floor(random() * ${SHARDS}))::int, 'Agent', $1, 0, 'Ask', '{}', '{}', true, 0)`,
        [id]
      )
      await client.query("commit")
      into.push(performance.now() - began)
    }).pipe(Effect.andThen(Effect.sleep("5 millis")))
  )

const ms = (value: number) => (value < 10 ? value.toFixed(1) : Math.round(value).toString())

const load = loadavg()[0]!.toFixed(1)

const program = Effect.gen(function* () {
  const { server, query, within, migratedDatabase } = yield* world
  const url = yield* migratedDatabase("retention")
  yield* print(`seeding ${executions} executions`)
  yield* within("retention", seed.replaceAll("$1", String(executions)))
  yield* within(
    "retention",
    "create sequence bench_ids start 1000; grant usage on sequence bench_ids to runtime; analyze"
  )
  const counted = (): Effect.Effect<Counted> =>
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: server.url("retention") })
      await client.connect()
      const { rows } = await client.query<Counted>(COUNT)
      await client.end()
      return rows[0]!
    })
  const before = yield* counted()
  const beside = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )
  const quiet: Array<number> = []
  yield* others(beside, quiet).pipe(Effect.timeoutOption("10 seconds"))

  const batches: Array<number> = []
  const looks: Array<number> = []
  const loud: Array<number> = []
  const meanwhile = yield* Effect.fork(others(beside, loud))
  const began = performance.now()
  const removed = yield* Effect.gen(function* () {
    let all = 0
    for (const shard of yield* EngineTables.shards) {
      for (;;) {
        const from = performance.now()
        const { executions } = yield* EngineTables.removeFrom(shard)
        ;(executions > 0 ? batches : looks).push(performance.now() - from)
        all += executions
        if (executions < EngineTables.BATCH) break
      }
    }
    return all
  }).pipe(
    Effect.provide(Database.layer(databaseFromUrl(url), { applicationName: "bench", maxConnections: 4 })),
    Effect.orDie
  )
  const seconds = (performance.now() - began) / 1000
  yield* Fiber.interrupt(meanwhile)
  yield* query("select 1")

  // Nothing is due any more: what a turn costs on a table that is large and young.
  const idle: Array<number> = []
  yield* Effect.gen(function* () {
    for (const shard of yield* EngineTables.shards) {
      const from = performance.now()
      yield* EngineTables.removeFrom(shard)
      idle.push(performance.now() - from)
    }
  }).pipe(
    Effect.provide(Database.layer(databaseFromUrl(url), { applicationName: "bench", maxConnections: 4 })),
    Effect.orDie
  )

  const after = yield* counted()
  const due = Math.floor(executions / 2)
  const right =
    removed === due &&
    after.messages === before.messages - due * 4 &&
    after.steps === before.steps - due * 2 &&
    after.kept === before.kept
  const page = `# Removing ended executions from large tables

Written by \`make bench-retention\` on ${machine()}, load average ${load} when it began; single run. ${before.messages + before.replies} rows of ${executions + OPEN} executions in the engine's
tables on ${SHARDS} shards, ${before.steps} steps in the journal; ${due} executions were due, ${executions - due} too young and ${OPEN} open.

| What | Figure |
|---|---|
| executions removed | ${removed} in ${seconds.toFixed(1)} s, ${Math.round(removed / seconds)} a second |
| a batch of at most ${EngineTables.BATCH}, orphans looked for behind it (p50 / p99 / longest) | ${ms(median(batches))} / ${ms(quantile(batches, 0.99))} / ${ms(Math.max(...batches))} ms |
| a look at a shard where nothing is due (p50 / p99) | ${ms(median(idle))} / ${ms(quantile(idle, 0.99))} ms |
| another client's commit, before (p50 / p99) | ${ms(median(quiet))} / ${ms(quantile(quiet, 0.99))} ms |
| another client's commit, meanwhile (p50 / p99) | ${ms(median(loud))} / ${ms(quantile(loud, 0.99))} ms |
| left that was due, or gone that was not | ${right ? "nothing" : "SOMETHING"} |

A runner looks at one shard each 2 s, at most 20 batches long (\`src/runtime/EngineLife.ts\`): a turn over ${SHARDS} shards takes ${Math.round((SHARDS * 2) / 60)} minutes, and
up to ${(SHARDS * 20 * EngineTables.BATCH).toLocaleString("en")} executions leave in one.
`
  yield* print(page)
  yield* Effect.promise(() =>
    writeFile(join(import.meta.dirname, "..", "..", "docs", "retention-performance.md"), page)
  )
  return right
}).pipe(Effect.scoped)

process.exitCode = (await Effect.runPromise(program)) ? 0 : 1
