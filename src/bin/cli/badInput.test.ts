/** `deliver gate workflows` met with what it can't judge: a clear finding or a clear error each time, and never a pass. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import pg from "pg"
import { testDatabase } from "../../../test/support/database.ts"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { agentWorkflow } from "../../agent/AgentWorkflow.ts"
import { RunId, SessionId, TenantId } from "../../domain/Ids.ts"
import { shardNumber } from "../../gates/workflows/rules/Shard.ts"
import { gateWorkflowsVerb } from "./gate-workflows.ts"
import { runVerb } from "./Verb.ts"

const surface = readFileSync(join(import.meta.dirname, "../../../surface.json"), "utf8")

/** An image whose surface holds this text; the rest of it is the checkout. */
const imageWith = (text: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "image-"))
      writeFileSync(join(folder, "release.json"), '{"commit":"candidate"}')
      writeFileSync(join(folder, "surface.json"), text)
      process.env["AGENT_IMAGE_ROOT"] = folder
      return folder
    }),
    (folder) =>
      Effect.sync(() => {
        delete process.env["AGENT_IMAGE_ROOT"]
        rmSync(folder, { recursive: true, force: true })
      })
  ).pipe(Effect.asVoid)

interface Told {
  readonly exitCode: number
  readonly text: string
}

const gate = (url: string): Effect.Effect<Told> =>
  runVerb([gateWorkflowsVerb], ["gate", "workflows", "--database-url", url]).pipe(
    Effect.match({
      onFailure: ({ exitCode, message }) => ({ exitCode, text: message }),
      onSuccess: ({ exitCode, text }) => ({ exitCode, text })
    })
  )

const says = ({ exitCode, text }: Told, code: number, ...words: ReadonlyArray<string>) => {
  expect(exitCode, text).toBe(code)
  for (const each of words) expect(text).toContain(each)
}

/** `payload` is SQL: what is tested may be too long to be sent. */
const openExecution = (database: MigratedDatabase, payload: string) =>
  database.query(
    `insert into cluster.cluster_messages (id, request_id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers)
     values (1, 1, 'm', 'default:${shardNumber("e1", 300)}', 'Workflow/AgentWorkflow', 'e1', 0, 'run', ${payload}, '{}')`
  )

describe("the workflow gate, met with", () => {
  it.scopedLive("a database that is not there: the tool failed, and says where it asked", () =>
    Effect.gen(function* () {
      // A port that was free a moment ago: nobody listens there.
      const port = yield* Effect.async<number>((resume) => {
        const server = createServer().listen(0, "127.0.0.1", () => {
          const { port } = server.address() as AddressInfo
          server.close(() => resume(Effect.succeed(port)))
        })
      })
      says(
        yield* gate(`postgres://reader@127.0.0.1:${port}/effect_cluster`),
        1,
        `127.0.0.1:${port}/effect_cluster can't be reached`,
        "Nothing was changed"
      )
      says(yield* gate("nonsense"), 2, "The database URL is not one that can be used")
    })
  )

  it.scopedLive("a role that may not read: a precondition is missing, and which right", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* database.query("revoke select on all tables in schema cluster from reader")
      says(
        yield* gate(database.urlOf("reader")),
        12,
        "permission denied",
        "needs select on the tables of the schema cluster"
      )
      yield* database.query("revoke select on agents.releases from reader")
      const told = yield* gate(database.urlOf("reader"))
      expect(told.exitCode, told.text).not.toBe(0)
      expect(told.text).toContain("permission denied")
    })
  )

  it.scopedLive("a surface that was half written, here or in the records", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* database.query(
        `insert into agents.releases (release, surface, state) values ('before', '{"format":1,"workflows":{}}', 'deployed')`
      )
      says(yield* gate(database.urlOf("reader")), 11, "A recorded surface can't be read", "before")
      yield* imageWith(surface.slice(0, surface.length / 2))
      says(yield* gate(database.urlOf("reader")), 12, "is not JSON", 'Run "deliver surface"')
      yield* imageWith("")
      says(yield* gate(database.urlOf("reader")), 12, "is not JSON")
    })
  )

  it.scopedLive("a surface of a format that is not known yet, here or in the records", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const newer = JSON.stringify({ ...(JSON.parse(surface) as object), format: 99 })
      yield* database.query("insert into agents.releases (release, surface, state) values ('after', $1, 'deployed')", [
        newer
      ])
      says(yield* gate(database.urlOf("reader")), 11, "newer format", "format 99")
      yield* imageWith(newer)
      says(yield* gate(database.urlOf("reader")), 12, "format 99")
    })
  )

  it.scopedLive("JSON that was cut off in a payload: a person must look, and which execution", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* openExecution(database, `'{"tenantId":"acme","sessio'`)
      says(
        yield* gate(database.urlOf("reader")),
        11,
        "damaged",
        "AgentWorkflow (src/agent/AgentWorkflow.ts:",
        "e1",
        "Repair the row from a backup"
      )
    })
  )

  it.scopedLive("JSON that was cut off, U+0000 or half a surrogate pair, in each column of what is open", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const entity = yield* agentWorkflow.workflow.executionId({
        tenantId: TenantId.make("acme"),
        sessionId: SessionId.make("s"),
        runId: RunId.make("r"),
        message: "hello",
        model: "local"
      })
      const run = `'{"tenantId":"acme","sessionId":"s","runId":"r","message":"hello","model":"local"}'`
      const plan = `'{"_tag":"Success","value":{"_tag":"Complete","exit":{"_tag":"Success","value":{"calls":[]}}}}'`
      const message = (id: number, tag: string, payload: string, type = "Workflow/AgentWorkflow") =>
        database.query(
          `insert into cluster.cluster_messages (id, request_id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers)
           values (${id}, ${id}, 'm${id}', 'default:${shardNumber(entity, 300)}', '${type}', '${entity}', 0, '${tag}', ${payload}, '{}')`
        )
      const reply = (id: number, payload: string) =>
        database.query(
          `insert into cluster.cluster_replies (id, kind, request_id, payload) values (${id + 1}, 0, ${id}, ${payload})`
        )
      /** What is in this column; the other rows are as they should be. */
      const columns: Readonly<
        Record<string, (damage: (sound: string) => string) => ReadonlyArray<Effect.Effect<unknown>>>
      > = {
        "a payload of a run": (damage) => [message(1, "run", damage(run))],
        "a result of a run": (damage) => [
          message(1, "run", run),
          reply(1, damage(`'{"_tag":"Success","value":{"_tag":"Suspended","why":"x"}}'`))
        ],
        "a begun activity": (damage) => [
          message(1, "run", run),
          message(3, "activity", damage(`'{"name":"Plan","attempt":1,"why":"x"}'`))
        ],
        "a result of an activity": (damage) => [
          message(1, "run", run),
          message(3, "activity", `'{"name":"Plan","attempt":1}'`),
          reply(3, damage(plan))
        ],
        "an answer of a deferred": (damage) => [
          message(1, "run", run),
          message(3, "deferred", damage(`'{"name":"Approval","exit":{"_tag":"Success","value":{"by":"alice"}}}'`))
        ],
        "a clock": (damage) => [
          message(1, "run", run),
          message(3, "run", damage(`'{"name":"Cooldown","why":"x"}'`), "Workflow/-/DurableClock")
        ],
        "a journalled step": (damage) => [
          message(1, "run", run),
          database.query(
            `insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
             values ('${entity}', 'Plan', 1, ${damage(`'{"_tag":"Success","value":{"calls":[]}}'`)}, 'before', 'f', now(), now())`
          )
        ],
        "a call of an entity": (damage) => [
          message(1, "Ask", damage(`'{"sessionId":"s","message":"hello","why":"x"}'`), "Agent")
        ]
      }
      const cut = (sound: string) => `${sound.slice(0, -4)}'`
      const half = (sound: string) => sound.replace(/"(acme|x|alice|hello)"/, String.raw`"\ud800"`)
      const zero = (sound: string) => sound.replace(/"(acme|x|alice|hello)"/, String.raw`"\u0000"`)
      for (const [column, fill] of Object.entries(columns)) {
        for (const damage of [cut, half, zero]) {
          // What models, tools and the engine itself answer may hold any text: the runtime cleans it where it matters.
          if (damage !== cut && /^a (result|journalled)/.test(column)) continue
          yield* Effect.all(fill(damage))
          const { exitCode, text } = yield* gate(database.urlOf("reader"))
          expect(exitCode, `${damage === cut ? "cut" : damage === half ? "half" : "zero"} in ${column}: ${text}`).toBe(
            11
          )
          expect(text).toMatch(/damaged|too long/)
          expect(text).toContain(entity)
          yield* database.query("truncate cluster.cluster_messages, cluster.cluster_replies, agents.steps")
        }
      }
    })
  )

  it.scopedLive("a payload of 100 MB: a person must look, and it is never loaded", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* openExecution(database, `'{"message":"' || repeat('x', 100 * 1024 * 1024) || '"}'`)
      const before = process.memoryUsage.rss()
      says(yield* gate(database.urlOf("reader")), 11, "bytes long", "e1")
      expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024)
    })
  )

  it.scopedLive("a database that is not UTF-8: what it would read is not what a runner reads", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const url = new URL(database.url)
      url.pathname = `/${database.name}_latin1`
      yield* Effect.acquireRelease(
        database.query(`create database ${database.name}_latin1 encoding 'LATIN1' template template0 locale 'C'`),
        () => database.query(`drop database ${database.name}_latin1 with (force)`)
      )
      const client = new pg.Client({ connectionString: url.href })
      yield* Effect.promise(async () => {
        await client.connect()
        await client.query("create schema cluster")
        await client.query("create table cluster.cluster_messages (id bigint, payload text)")
        await client.query("insert into cluster.cluster_messages values (1, convert_from('\\xe9'::bytea, 'LATIN1'))")
        await client.end()
      })
      says(yield* gate(url.href), 12, "encoded in LATIN1", "UTF8")
    })
  )
})
