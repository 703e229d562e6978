/** Genuine open work: executions that the real engine ran until they waited, in a database that the test keeps. */
import { ClusterWorkflowEngine, SingleRunner } from "@effect/cluster"
import { PgClient } from "@effect/sql-pg"
import { DurableDeferred } from "@effect/workflow"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, Exit, Layer, Redacted, Schema } from "effect"
import { type AnyDeclaration, declare } from "../../src/agent/Declaration.ts"
import { extract } from "../../src/surface/extract.ts"
import type { TestDatabase } from "./database.ts"
import { until } from "./wait.ts"

export const Approval = DurableDeferred.make("Approval", { success: Schema.Struct({ by: Schema.String }) })

/** A workflow with one of everything. Tests declare edited forms of it. */
export const orderOptions = {
  name: "Order",
  payload: Schema.Struct({
    tenant: Schema.String,
    id: Schema.String,
    wait: Schema.Literal("approval", "clock", "both")
  }),
  success: Schema.Struct({ total: Schema.Number }),
  error: Schema.Struct({ reason: Schema.String }),
  idempotencyKey: (order: { readonly tenant: string; readonly id: string }) => `${order.tenant}/${order.id}`,
  activities: {
    plan: { name: "Plan", success: Schema.Struct({ steps: Schema.Number }), error: Schema.Never },
    tool: { name: "Tool", success: Schema.String, error: Schema.Never, keyed: true },
    complete: { name: "Complete", success: Schema.Void, error: Schema.Never }
  },
  deferreds: { approval: Approval },
  clocks: { cooldown: { name: "Cooldown" } }
} as const

export const order = declare(orderOptions)
/** Of a release that carries these workflows and nothing else. */
export const surfaceOf = (declarations: ReadonlyArray<AnyDeclaration>, shardsPerGroup = 300, groups = ["default"]) =>
  extract({
    declarations,
    entities: [],
    events: Schema.TaggedStruct("Opened", {}),
    statements: [],
    sharding: { groups, shardsPerGroup },
    migrations: []
  })

type Payload = typeof order.workflow.payloadSchema.Type

export const carriedOut = order.toLayer(
  (payload, steps) =>
    Effect.gen(function* () {
      const { steps: planned } = yield* steps.plan(Effect.succeed({ steps: 2 }))
      yield* steps.tool("first", Effect.succeed("done"))
      if (payload.wait !== "clock") yield* steps.approval
      if (payload.wait !== "approval") yield* steps.cooldown("1 hour")
      yield* steps.complete(Effect.void)
      return { total: planned }
    }),
  { onCancelled: () => Effect.void }
)

/** A runner in this process: the library's engine and SQL storage, its tables in the schema `cluster`. */
export const engine = (url: string) => {
  const withPath = new URL(url)
  withPath.searchParams.set("options", "-c search_path=cluster")
  return ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(
      SingleRunner.layer({ runnerStorage: "memory", shardingConfig: { entityMessagePollInterval: 200 } })
    ),
    Layer.provideMerge(PgClient.layer({ url: Redacted.make(withPath.toString()) })),
    Layer.orDie
  )
}

/** How many executions wait: their start was answered with "suspended". */
const waiting = (database: TestDatabase) =>
  database
    .query<{ n: number }>(
      `select count(*)::int as n from cluster.cluster_messages m join cluster.cluster_replies r on r.request_id = m.id
       where m.tag = 'run' and r.kind = 0 and r.payload like '%Suspended%'`
    )
    .pipe(Effect.map(([row]) => row?.n ?? 0))

/** Starts orders and returns their execution ids once all of them wait. The runner is gone then. */
export const startOrders = (
  database: TestDatabase,
  payloads: ReadonlyArray<Payload>,
  then: (ids: ReadonlyArray<string>) => Effect.Effect<void, never, WorkflowEngine> = () => Effect.void
) =>
  Effect.gen(function* () {
    const ids = yield* Effect.forEach(payloads, (payload) => order.workflow.execute(payload, { discard: true }))
    yield* until("all orders wait", waiting(database), (n) => n === payloads.length)
    yield* then(ids)
    return ids
  }).pipe(Effect.provide(carriedOut.pipe(Layer.provideMerge(engine(database.url)))), Effect.scoped, (work) =>
    Effect.zipRight(database.query("create schema if not exists cluster"), work)
  )

/** Answers an order's approval. */
export const approve = (executionId: string, by: string) =>
  DurableDeferred.done(Approval, {
    token: DurableDeferred.tokenFromExecutionId(Approval, { workflow: order.workflow, executionId }),
    exit: Exit.succeed({ by })
  })
