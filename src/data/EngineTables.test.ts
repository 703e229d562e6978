/** On tables that the real engine filled: what leaves them, what never does, and what a repair brings back. */
import { describe, expect, it } from "@effect/vitest"
import { DurableDeferred } from "@effect/workflow"
import { Effect, Layer, Schema, type Scope } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../test/support/migrated-database.ts"
import { approve, carriedOut, engine, order, startOrders } from "../../test/support/open-work.ts"
import { until } from "../../test/support/wait.ts"
import { declare } from "../agent/Declaration.ts"
import { enginePoisonedVerb, enginePruneVerb, engineRepairVerb } from "../bin/cli/engine.ts"
import { type Outcome, runVerb } from "../bin/cli/Verb.ts"
import { ExitCode } from "../domain/ExitCode.ts"

const deliver = (
  database: MigratedDatabase,
  role: "migrator" | "runtime" | "reader",
  ...words: ReadonlyArray<string>
) =>
  runVerb(
    [enginePoisonedVerb, enginePruneVerb, engineRepairVerb],
    ["engine", ...words, "--database-url", database.urlOf(role)]
  )

const prune = (database: MigratedDatabase) =>
  Effect.map(deliver(database, "runtime", "prune"), ({ json }) => json as { executions: number; messages: number })

/** Executions that have a row of any kind, by id. */
const present = (database: MigratedDatabase) =>
  Effect.map(
    database.query<{ id: string }>("select distinct entity_id as id from cluster.cluster_messages order by 1"),
    (rows) => rows.map(({ id }) => id)
  )

/** Makes everything that was written so far older: ids hold the time, so they are moved. */
const age = (database: MigratedDatabase, hours: number) =>
  Effect.gen(function* () {
    const back = BigInt(hours) * 3_600_000n * 4_194_304n
    yield* database.query(`update cluster.cluster_replies set id = id - ${back}, request_id = request_id - ${back}`)
    yield* database.query(
      `update cluster.cluster_messages set id = id - ${back}, request_id = request_id - ${back}, last_reply_id = last_reply_id - ${back}`
    )
    yield* database.query(
      `update agents.runs set accepted_at = accepted_at - interval '${hours} hours', finished_at = finished_at - interval '${hours} hours'`
    )
  })

const results = (database: MigratedDatabase, pattern: string) =>
  Effect.map(
    database.query<{ n: number }>(
      `select count(*)::int as n from cluster.cluster_messages m join cluster.cluster_replies r on r.request_id = m.id
       where m.tag = 'run' and m.entity_type <> 'Workflow/-/DurableClock' and r.kind = 0 and r.payload like $1`,
      [pattern]
    ),
    ([row]) => row!.n
  )

const recordRun = (database: MigratedDatabase, tenant: string, execution: string, finished: boolean) =>
  Effect.gen(function* () {
    yield* database.query(
      "insert into agents.sessions (tenant_id, session_id) values ($1, 's') on conflict do nothing",
      [tenant]
    )
    yield* database.query(
      `insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release, finished_at)
       values ($1, $2, 's', $2, 'Order', $3, 'r', $4)`,
      [tenant, execution, finished ? "completed" : "accepted", finished ? new Date() : null]
    )
  })

const onDatabase = <E>(test: (database: MigratedDatabase) => Effect.Effect<void, E, Scope.Scope>) =>
  Effect.flatMap(migratedDatabase, test)

const waitingOrder = (id: string) => ({ tenant: "acme", id, wait: "approval" as const })

describe("the engine's tables", () => {
  it.scopedLive("keeps what is open and what is young, and removes the rest with all of its rows", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const [done, open, unended, enterprise, clock, interrupted] = yield* startOrders(
          database,
          [
            ...["done", "open", "unended", "enterprise"].map(waitingOrder),
            { tenant: "acme", id: "clock", wait: "clock" },
            waitingOrder("interrupted")
          ],
          (ids) =>
            Effect.gen(function* () {
              for (const id of [ids[0]!, ids[2]!, ids[3]!]) yield* approve(id, "ann")
              yield* order.workflow.interrupt(ids[5]!)
              yield* until("four results", results(database, "%Complete%"), (n) => n === 4).pipe(Effect.orDie)
              yield* until(
                "nothing under way",
                database.query<{ n: number }>(
                  `select count(*)::int as n from cluster.cluster_messages where not processed and entity_type <> 'Workflow/-/DurableClock'`
                ),
                ([row]) => row!.n === 0
              ).pipe(Effect.orDie)
            })
        )
        yield* database.query("insert into agents.tenant_tiers (tenant_id, tier) values ('big', 'enterprise')")
        yield* recordRun(database, "acme", done!, true)
        // Its end could not be recorded: the engine's row is the last thing that knows of it.
        yield* recordRun(database, "acme", unended!, false)
        yield* recordRun(database, "big", enterprise!, true)
        yield* recordRun(database, "acme", interrupted!, true)

        for (const id of [done!, open!]) {
          yield* database.query(
            `insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
             values ($1, 'Plan', 1, '{}', 'r', '', now(), now())`,
            [id]
          )
        }
        expect((yield* prune(database)).executions).toBe(0)
        yield* age(database, 25)
        expect((yield* prune(database)).executions).toBe(2)
        expect(yield* present(database)).toEqual([open, unended, enterprise, clock].sort())
        // The journal goes with the execution, and with no other.
        const journal = yield* database.query<{ id: string }>("select execution_id as id from agents.steps")
        expect(journal.map(({ id }) => id)).toEqual([open])
        yield* age(database, 24 * 7)
        expect((yield* prune(database)).executions).toBe(1)
        expect(yield* present(database)).toEqual([open, unended, clock].sort())
        const [lost] = yield* database.query<{ n: number }>(
          "select count(*)::int as n from cluster.cluster_replies r where not exists (select from cluster.cluster_messages m where m.id = r.request_id)"
        )
        expect(lost!.n).toBe(0)

        // What stayed goes on as if nothing had been.
        yield* approve(open!, "ann").pipe(
          Effect.andThen(until("its result", results(database, "%Complete%"), (n) => n === 2)),
          Effect.provide(carriedOut.pipe(Layer.provideMerge(engine(database.url)))),
          Effect.scoped
        )
      })
    )
  )

  it.scopedLive("keeps the child of an open parent, which asks for it again when it is replayed", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        let children = 0
        const child = declare({
          name: "Child",
          payload: Schema.Struct({ id: Schema.String }),
          success: Schema.Number,
          error: Schema.Never,
          idempotencyKey: ({ id }) => id,
          activities: { count: { name: "Count", success: Schema.Number, error: Schema.Never } }
        })
        const parent = declare({
          name: "Parent",
          payload: Schema.Struct({ id: Schema.String }),
          success: Schema.Number,
          error: Schema.Never,
          idempotencyKey: ({ id }) => id,
          activities: {},
          deferreds: { go: DurableDeferred.make("Go") }
        })
        const both = Layer.mergeAll(
          child.toLayer((_, steps) => steps.count(Effect.sync(() => ++children)), { onCancelled: () => Effect.void }),
          parent.toLayer(
            (payload, steps) =>
              Effect.gen(function* () {
                const counted = yield* child.workflow.execute(payload)
                yield* steps.go
                return counted
              }) as Effect.Effect<number>,
            { onCancelled: () => Effect.void }
          )
        ).pipe(Layer.provideMerge(engine(database.url)))
        const id = yield* parent.workflow.execute({ id: "one" }, { discard: true }).pipe(
          Effect.tap(() => until("the parent waits", results(database, "%Suspended%"), (n) => n === 1)),
          Effect.tap(() => until("the child's result", results(database, "%Complete%"), (n) => n === 1)),
          Effect.provide(both),
          Effect.scoped
        )
        yield* age(database, 24 * 8)
        expect((yield* prune(database)).executions).toBe(0)
        const token = DurableDeferred.tokenFromExecutionId(parent.deferreds.go, {
          workflow: parent.workflow,
          executionId: id
        })
        yield* DurableDeferred.succeed(parent.deferreds.go, { token, value: undefined }).pipe(
          Effect.andThen(until("both results", results(database, "%Complete%"), (n) => n === 2)),
          Effect.provide(both),
          Effect.scoped
        )
        expect(children).toBe(1)
        yield* age(database, 24 * 8)
        expect((yield* prune(database)).executions).toBe(2)
        expect(yield* present(database)).toEqual([])
      })
    )
  )

  it.scopedLive("finds what is poisoned, and lets it go on where it was once it is repaired", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const [run, deferred] = yield* startOrders(database, ["run", "deferred"].map(waitingOrder), (ids) =>
          Effect.gen(function* () {
            yield* approve(ids[0]!, "ann")
            yield* until("a result", results(database, "%Complete%"), (n) => n === 1).pipe(Effect.orDie)
          })
        )
        const die = '{"_tag":"Failure","cause":{"_tag":"Die","defect":{"name":"Error","message":"not registered"}}}'
        const poison = (execution: string, tag: string) =>
          database.query(
            `update cluster.cluster_replies r set payload = $3 from cluster.cluster_messages m
             where m.id = r.request_id and m.entity_id = $1 and m.tag = $2`,
            [execution, tag, die]
          )
        yield* poison(run!, "run")
        // An approval that a runner answered which did not know the type: the library keeps the first answer for ever.
        yield* database.query(
          `insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
           select id + 1, 'Workflow/Order/' || entity_id || '/deferred/Approval', shard_id, entity_type, entity_id, 0, 'deferred',
             '{"name":"Approval","exit":{"_tag":"Success","value":{"by":"bob"}}}', '{}', true, id + 1
           from cluster.cluster_messages where entity_id = $1 and tag = 'run'`,
          [deferred]
        )
        yield* database.query(
          `insert into cluster.cluster_replies (id, kind, request_id, payload)
           select id + 1, 0, id, $2 from cluster.cluster_messages where entity_id = $1 and tag = 'deferred'`,
          [deferred, die]
        )
        const listed: Outcome = yield* deliver(database, "reader", "poisoned")
        expect(listed.exitCode).toBe(ExitCode.refused)
        expect(
          (listed.json as { poisoned: ReadonlyArray<{ executionId: string; tag: string; defect: string }> }).poisoned
            .map(({ executionId, tag, defect }) => `${executionId} ${tag} ${defect}`)
            .sort()
        ).toEqual([`${run} run not registered`, `${deferred} deferred not registered`].sort())
        yield* age(database, 24 * 8)
        expect((yield* prune(database)).executions).toBe(0)

        const repair = (execution: string) =>
          deliver(database, "migrator", "repair", execution, "--by", "ann", "--why", "rolled back")
        yield* database.query(
          `insert into agents.runners (runner, release, carries) values ('r-0', 'old', '{"workflows":{"Other":{}}}')`
        )
        const refused = yield* Effect.flip(repair(run!))
        expect([refused.exitCode, refused.message]).toEqual([ExitCode.refused, expect.stringContaining("r-0 (old)")])
        yield* database.query("delete from agents.runners")
        yield* repair(run!)
        yield* repair(deferred!)
        expect((yield* Effect.flip(repair(run!))).exitCode).toBe(ExitCode.preconditionMissing)
        const before = yield* activities(database)
        yield* until("both results", results(database, "%Complete%"), (n) => n === 2).pipe(
          Effect.provide(carriedOut.pipe(Layer.provideMerge(engine(database.url)))),
          Effect.scoped
        )
        expect((yield* deliver(database, "reader", "poisoned")).exitCode).toBe(ExitCode.passed)
        // Steps that were done were not done again: `Complete` of the second one alone is new.
        expect(yield* activities(database)).toBe(before + 1)
        expect(
          yield* database.query(
            "select execution_id, tag, reply, repaired_by, why from agents.engine_repairs order by repair_id"
          )
        ).toEqual([
          { execution_id: run, tag: "run", reply: die, repaired_by: "ann", why: "rolled back" },
          { execution_id: deferred, tag: "deferred", reply: die, repaired_by: "ann", why: "rolled back" }
        ])
      })
    )
  )
})

const activities = (database: MigratedDatabase) =>
  Effect.map(
    database.query<{ n: number }>(
      "select count(*)::int as n from cluster.cluster_messages where tag = 'activity' and kind = 0"
    ),
    ([row]) => row!.n
  )
