/** Results of ended executions, and how long executions took: as the rows tell, asked with the gate's own role. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { orderOptions, surfaceOf } from "../../../test/support/open-work.ts"
import { type AnyDeclaration, declare } from "../../agent/Declaration.ts"
import { identify } from "../../surface/extract.ts"
import * as Database from "../Database.ts"
import { judge } from "./Gate.ts"
import type { Before } from "./OtherReleases.ts"
import * as PostgresOpenWork from "./PostgresOpenWork.ts"
import { shardNumber } from "./rules/Shard.ts"

const edited = (change: object): AnyDeclaration => declare({ ...orderOptions, ...change } as typeof orderOptions)
const other = edited({ success: Schema.Struct({ sum: Schema.Number }) })

const ask = (database: MigratedDatabase, declaration: AnyDeclaration, before?: Before) =>
  Effect.gen(function* () {
    const surface = yield* surfaceOf([declaration])
    const settings = yield* Database.fromUrl(database.urlOf("reader"))
    return yield* judge({
      release: "new",
      surface,
      declarations: [declaration],
      entities: [],
      others: undefined,
      before
    }).pipe(Effect.provide(PostgresOpenWork.layer), Effect.provide(Database.layer(settings)), Effect.scoped)
  })

const MINUTE = 60_000n
/** A snowflake of so many minutes after the beginning of 2025. */
const at = (minutes: number) => (BigInt(minutes) * MINUTE) << 22n

const payload = (id: string) => ({ tenant: "acme", id, wait: "approval" })

/** An execution as the engine leaves it: started, and answered with `reply` when it is given. */
const execution = (
  database: MigratedDatabase,
  id: string,
  times: { readonly started: number; readonly replied: number },
  reply: unknown,
  parent?: { readonly workflowName: string; readonly executionId: string }
) =>
  Effect.gen(function* () {
    const { executionId } = yield* Effect.orDieWith(identify(edited({}), payload(id)), (why) => new Error(why))
    const message = at(times.started) + BigInt(executionId.charCodeAt(0))
    yield* database.query(
      `insert into cluster.cluster_messages (id, request_id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed)
       values ($1, $1, $2, $3, 'Workflow/Order', $4, 0, 'run', $5, '{}', true)`,
      [
        String(message),
        `Workflow/Order/${executionId}/run/`,
        `default:${shardNumber(executionId, 300)}`,
        executionId,
        JSON.stringify({ ...payload(id), ...(parent === undefined ? {} : { "~@effect/workflow/parent": parent }) })
      ]
    )
    yield* database.query(
      "insert into cluster.cluster_replies (id, kind, request_id, payload) values ($1, 0, $2, $3)",
      [String(at(times.replied) + 1n + BigInt(executionId.charCodeAt(0))), String(message), JSON.stringify(reply)]
    )
    return executionId
  })

const complete = {
  _tag: "Success",
  value: { _tag: "Complete", exit: { _tag: "Success", value: { total: 2 } } }
}
const suspended = { _tag: "Success", value: { _tag: "Suspended" } }

const rulesOf = (result: { readonly findings: ReadonlyArray<{ readonly rule: string; readonly where: string }> }) =>
  result.findings.map(({ rule, where }) => `${rule} ${where}`)

describe("finished results", () => {
  it.scopedLive(
    "must decode while somebody may ask for them: who started one without a run, a gateway, an open parent",
    () =>
      Effect.gen(function* () {
        const database = yield* migratedDatabase
        const child = yield* execution(database, "a", { started: 10, replied: 20 }, complete)
        expect(rulesOf(yield* ask(database, other))).toEqual([`workflow-success Order: 1 finished execution: ${child}`])
        expect((yield* ask(database, edited({}))).findings).toEqual([])

        // Its run goes on, and then has ended: the run's own row answers from there on.
        yield* database.query("insert into agents.sessions (tenant_id, session_id) values ('acme', 's')")
        yield* database.query(
          `insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release)
         values ('acme', 'r', 's', $1, 'Order', 'waiting', 'before')`,
          [child]
        )
        expect(rulesOf(yield* ask(database, other))).toHaveLength(1)
        yield* database.query("update agents.runs set finished_at = now(), status = 'completed'")
        expect((yield* ask(database, other)).findings).toEqual([])
        yield* database.query("delete from agents.runs")

        // It was started by another one.
        yield* database.query("truncate cluster.cluster_messages, cluster.cluster_replies")
        const parent = yield* execution(database, "b", { started: 5, replied: 6 }, suspended)
        const asked = { workflowName: "Order", executionId: parent }
        yield* execution(database, "a", { started: 10, replied: 20 }, complete, asked)
        expect(rulesOf(yield* ask(database, other))).toEqual([`workflow-success Order: 1 finished execution: ${child}`])
        yield* database.query("update cluster.cluster_replies set payload = $1", [JSON.stringify(complete)])
        // The parent itself belongs to no run: what it answered may still be asked for, the child's no more.
        expect(rulesOf(yield* ask(database, other))).toEqual([
          `workflow-success Order: 1 finished execution: ${parent}`
        ])
      })
  )

  it.scopedLive("are left alone where every release that may have written one had the same form", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* execution(database, "a", { started: 10, replied: 20 }, complete)
      const check = (declaration: AnyDeclaration, wrote: AnyDeclaration) =>
        Effect.gen(function* () {
          const { checks, findings } = yield* ask(database, declaration, {
            surfaces: [yield* surfaceOf([wrote])],
            since: undefined
          })
          return [checks.find(({ name }) => name === "finished results")?.result, findings.length]
        })
      expect(yield* check(edited({}), edited({}))).toEqual([
        "no release that may have written one had another form: none decoded",
        0
      ])
      expect(yield* check(other, edited({}))).toEqual(["those that may still be asked for decoded, 1 of Order", 1])
    })
  )
})

describe("the way out of waiting", () => {
  const renamed = edited({ payload: Schema.Struct({ ...orderOptions.payload.fields, model: Schema.String }) })
  const fixOf = (database: MigratedDatabase) =>
    Effect.map(ask(database, renamed), ({ findings }) => findings.find(({ rule }) => rule === "workflow-payload")?.fix)

  it.scopedLive("is estimated from how long executions took that have ended", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* execution(database, "open", { started: 100, replied: 101 }, suspended)
      expect(yield* fixOf(database)).toMatch(/None of Order has ended here, so .* the oldest is \d+ days old\./)
      for (const [id, minutes] of [
        ["a", 3],
        ["b", 5],
        ["c", 240]
      ] as const) {
        yield* execution(database, id, { started: 10, replied: 10 + minutes }, complete)
      }
      expect(yield* fixOf(database)).toMatch(
        /for this 1 execution to end.*it is older than any of those .*\(of 3 that ended, half took up to 5 minutes, 95 % up to 4 hours, the longest 4 hours\)/
      )
    })
  )
})
