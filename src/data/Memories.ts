/**
 * The memory of tenants in Postgres, searched by its words and by vectors of what it says.
 *
 * Vectors come from elsewhere and may fail to come: then a memory is kept without one and found by its words, until
 * somebody asks its tenant's memory again. No index over vectors: a tenant has few memories, all of which are compared, while
 * an index over all tenants' finds the nearest of all tenants and then drops those of others.
 */
import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Layer, Schedule, Schema } from "effect"
import { Embedding, type Vector } from "../domain/Embedding.ts"
import { EventLog, type Spender, type Usage } from "../domain/EventLog.ts"
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
  [
    tenantId: string,
    executionId: string,
    key: string,
    text: string,
    perTenant: number,
    vector: Vector | null,
    embeddedBy: string | null
  ]
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
  insert into agents.memories (tenant_id, execution_id, idempotency_key, body, embedding, embedded_by)
  select $1, $2, $3, $4, $6::real[], $7 from run
  where (select count(*) from agents.memories m where m.tenant_id = $1) < $5::int
  on conflict (tenant_id, idempotency_key) do nothing
  returning memory_id
)
select exists (select from run) as open, coalesce((select memory_id from known), (select memory_id from written))::text as id`,
  row: Schema.Struct({ open: Schema.Boolean, id: Schema.NullOr(Schema.String) }),
  probe: ["probe", "probe", "probe", "probe", 1, [0.5, 0.5], "probe"]
})

/**
 * By words: any of the question's, since a model asks in sentences, and all of them together are in no memory. By vectors: all
 * of the tenant's that are near. A memory's places in the two lists count together (reciprocal rank fusion): their measures can't
 * be compared.
 */
const recallSome = Statement.make<
  [tenantId: string, question: string, limit: number, vector: Vector | null, embeddedBy: string, near: number]
>()({
  name: "memories.recall",
  text: `
with asked as (
  select replace(plainto_tsquery('english', $2)::text, ''' & ''', ''' | ''')::tsquery as words
), worded as (
  select m.memory_id, row_number() over (order by ts_rank_cd(m.words, asked.words) desc, m.memory_id desc) as place
  from agents.memories m, asked
  where m.tenant_id = $1 and m.words @@ asked.words
  order by place limit $3::int * 4
), compared as materialized (
  select m.memory_id, agents.vector_distance(m.embedding, $4::real[]) as distance
  from agents.memories m
  where m.tenant_id = $1 and m.embedded_by = $5 and $4::real[] is not null
), alike as (
  select c.memory_id, row_number() over (order by c.distance, c.memory_id desc) as place
  from compared c where c.distance <= $6::double precision
  order by place limit $3::int * 4
), found as (
  select f.memory_id, sum(1.0 / (60 + f.place)) as score
  from (select * from worded union all select * from alike) f group by f.memory_id
)
select m.memory_id::text as id, m.body as text
from found f join agents.memories m on m.tenant_id = $1 and m.memory_id = f.memory_id
order by f.score desc, m.memory_id desc
limit $3::int`,
  row: Schema.Struct({ id: Schema.String, text: Schema.String })
})

/** Those that came while no vector could be made, or before there were any, or have one of another method. Newer ones first. */
const withoutVector = Statement.make<[tenantId: string, embeddedBy: string, limit: number]>()({
  name: "memories.withoutVector",
  text: `
select m.memory_id::text as id, m.body as text
from agents.memories m
where m.tenant_id = $1 and m.embedded_by is distinct from $2
order by m.memory_id desc
limit $3`,
  row: Schema.Struct({ id: Schema.String, text: Schema.String })
})

const keepVectors = Statement.make<[tenantId: string, embeddedBy: string, vectors: string]>()({
  name: "memories.keepVectors",
  text: `
update agents.memories m set embedding = v.embedding, embedded_by = $2
from jsonb_to_recordset($3::jsonb) as v (id bigint, embedding real[])
where m.tenant_id = $1 and m.memory_id = v.id`,
  row: Statement.NoRow,
  probe: ["probe", "probe", '[{"id":0,"embedding":[0.5,0.5]}]']
})

const forgetOne = Statement.make<[tenantId: string, id: string]>()({
  name: "memories.forget",
  text: "delete from agents.memories where tenant_id = $1 and memory_id = $2::bigint returning memory_id::text as id",
  row: Schema.Struct({ id: Schema.String }),
  probe: ["probe", "0"]
})

/** Well within what a tool may take. */
const patience = Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(5)))

/** Memories that get a vector with one question: a tenant's are all done after a few, and no question waits for all. */
const CAUGHT_UP = 63

const AWAY = "The memory can't be reached at the moment."

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const embedding = yield* Embedding
  const log = yield* EventLog
  const patient = <A>(work: Effect.Effect<A, SqlError.SqlError, SqlClient.SqlClient>) =>
    work.pipe(
      Effect.provideService(SqlClient.SqlClient, sql),
      Effect.retry(patience),
      Effect.tapError((error) => Effect.logWarning("The memory did not answer", error))
    )

  const embed = (run: Spender, key: string, texts: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      let used: Usage | undefined
      const vectors = yield* embedding
        .embed(texts, (all) => (used = all))
        .pipe(
          Effect.tapError((error) => Effect.logWarning("Memories are kept and searched without vectors", error)),
          Effect.orElseSucceed((): ReadonlyArray<Vector> => [])
        )
      if (used !== undefined) {
        yield* log
          .recordUsage(run, { step: key, ...used })
          .pipe(Effect.catchAll((error) => Effect.logWarning("An embedding was not accounted for", error)))
      }
      return vectors
    })

  /** The question's vector. In the same call the tenant's memories that lack one get theirs. */
  const vectorFor = (run: Spender, key: string, question: string) =>
    Effect.gen(function* () {
      const { tenantId } = run
      const late = yield* patient(withoutVector.run(tenantId, embedding.name, CAUGHT_UP))
      const [asked, ...vectors] = yield* embed(run, key, [question, ...late.map(({ text }) => text)])
      if (vectors.length > 0) {
        const kept = late.map(({ id }, index) => ({ id, embedding: vectors[index] }))
        yield* patient(keepVectors.run(tenantId, embedding.name, JSON.stringify(kept)))
      }
      return asked ?? null
    })

  return Memory.of({
    remember: Effect.fn("Memory.remember")(function* (run, key, text) {
      const { tenantId, executionId } = run
      const [vector] = yield* embed(run, key, [text])
      const by = vector === undefined ? null : embedding.name
      const [found] = yield* patient(
        sql.withTransaction(
          Effect.zipRight(
            lockTenant.run(tenantId),
            rememberOne.run(tenantId, executionId, key, text, memoryLimits.perTenant, vector ?? null, by)
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
    recall: Effect.fn("Memory.recall")((run, key, question) =>
      vectorFor(run, key, question).pipe(
        Effect.flatMap((vector) =>
          patient(recallSome.run(run.tenantId, question, memoryLimits.recalled, vector, embedding.name, embedding.near))
        ),
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

export const layer: Layer.Layer<Memory, never, SqlClient.SqlClient | Embedding | EventLog> = Layer.effect(Memory, make)
