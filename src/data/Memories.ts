/** The memory of tenants in Postgres, searched by its words. */
import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Layer, Schedule, Schema } from "effect"
import { Memory, MemoryUnavailable, memoryLimits, NotRemembered } from "../domain/Memory.ts"
import * as Statement from "../domain/Statement.ts"

/** Held to the end of the transaction, so that the count below is exact whoever writes at the same time. */
const lockTenant = Statement.make<[tenantId: string]>()({
  name: "memories.lock",
  text: "select pg_advisory_xact_lock(hashtextextended('agents.memories/' || $1, 0))::text",
  row: Statement.NoRow
})

/** The share lock on the run lasts to the commit: a run that ends, and a removal that waits for it, come before or after. */
const rememberOne = Statement.make<
  [tenantId: string, executionId: string, key: string, text: string, perTenant: number]
>()({
  name: "memories.remember",
  text: `
with run as (
  select r.run_id from agents.runs r
  where r.tenant_id = $1 and r.execution_id = $2 and r.finished_at is null
  for share
), known as (
  select m.memory_id from agents.memories m where m.tenant_id = $1 and m.idempotency_key = $3
), written as (
  insert into agents.memories (tenant_id, execution_id, idempotency_key, body)
  select $1, $2, $3, $4 from run
  where (select count(*) from agents.memories m where m.tenant_id = $1) < $5::int
  on conflict (tenant_id, idempotency_key) do nothing
  returning memory_id
)
select exists (select from run) as open, coalesce((select memory_id from known), (select memory_id from written))::text as id`,
  row: Schema.Struct({ open: Schema.Boolean, id: Schema.NullOr(Schema.String) }),
  probe: ["probe", "probe", "probe", "probe", 1]
})

/** Any of the question's words: a model asks in sentences, and all of them together are in no memory. */
const recallSome = Statement.make<[tenantId: string, question: string, limit: number]>()({
  name: "memories.recall",
  text: `
with asked as (
  select replace(plainto_tsquery('english', $2)::text, ''' & ''', ''' | ''')::tsquery as words
)
select m.memory_id::text as id, m.body as text
from agents.memories m, asked
where m.tenant_id = $1 and m.words @@ asked.words
order by ts_rank_cd(m.words, asked.words) desc, m.memory_id desc
limit $3`,
  row: Schema.Struct({ id: Schema.String, text: Schema.String })
})

const forgetOne = Statement.make<[tenantId: string, id: string]>()({
  name: "memories.forget",
  text: "delete from agents.memories where tenant_id = $1 and memory_id = $2::bigint returning memory_id::text as id",
  row: Schema.Struct({ id: Schema.String }),
  probe: ["probe", "0"]
})

/** Well within what a tool may take. */
const patience = Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(5)))

const AWAY = "The memory can't be reached at the moment."

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const patient = <A>(work: Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>) =>
    work.pipe(
      Effect.provideService(SqlClient.SqlClient, sql),
      Effect.retry(patience),
      Effect.tapError((error) => Effect.logWarning("The memory did not answer", error))
    )

  return Memory.of({
    remember: Effect.fn("Memory.remember")(function* ({ tenantId, executionId }, key, text) {
      const [found] = yield* patient(
        sql.withTransaction(
          Effect.zipRight(
            lockTenant.run(tenantId),
            rememberOne.run(tenantId, executionId, key, text, memoryLimits.perTenant)
          )
        )
      ).pipe(Effect.mapError(() => new NotRemembered({ reason: "unavailable", message: AWAY })))
      if (typeof found?.id === "string") return found.id
      if (found?.open !== true) {
        return yield* new NotRemembered({ reason: "run-over", message: "The run is over: it remembers nothing more." })
      }
      return yield* new NotRemembered({
        reason: "full",
        message: `The tenant's memory is full: it holds ${memoryLimits.perTenant}.`
      })
    }),
    recall: Effect.fn("Memory.recall")((tenantId, question) =>
      patient(recallSome.run(tenantId, question, memoryLimits.recalled)).pipe(
        Effect.mapError(() => new MemoryUnavailable({ message: AWAY }))
      )
    ),
    forget: Effect.fn("Memory.forget")((tenantId, id) =>
      patient(forgetOne.run(tenantId, id)).pipe(
        Effect.map((gone) => gone.length > 0),
        Effect.mapError(() => new MemoryUnavailable({ message: AWAY }))
      )
    )
  })
})

export const layer: Layer.Layer<Memory, never, SqlClient.SqlClient> = Layer.effect(Memory, make)
