/**
 * Reads the open work from the cluster library's tables, and from the journal of steps.
 *
 * One read-only snapshot: executions go on while we look, and a message read with a reply that came later would lie. Rows
 * come through a cursor, so memory is bounded by the largest execution. JSON is read here and not by Postgres: a cast of
 * one damaged row would fail the whole query.
 */
import { Chunk, Effect, Fiber, Layer, Option, Scope, Stream } from "effect"
import { Database, type DatabaseUnavailable, type StatementFailed } from "../Database.ts"
import { type Execution, type OpenCall, OpenWork, OpenWorkUnreadable, type Stored, stored } from "./OpenWork.ts"

const STATEMENT_TIMEOUT = "60s"
/** Together they bound the memory: twice so many rows are held at a time, of four values each. */
const BATCH = 100
const VALUE_BYTES = 256 * 1024

/** A row of an execution, with one of its parts. Parts of an execution follow each other. */
interface PartRow {
  readonly id: string
  readonly workflow: string
  readonly execution_id: string
  readonly shard_id: string
  readonly payload: string | null
  readonly reply: string | null
  readonly part_tag: "activity" | "step" | "deferred" | "clock" | null
  readonly part_payload: string | null
  readonly part_reply: string | null
  readonly part_release: string | null
}

// Finished executions are left out by the text of their reply: the library writes its keys in this order, and should that
// change, they are read and recognised below, only slower.
/** A value, or what stands for one that is too long to be loaded. No JSON text begins like it. */
const TOO_LONG = "too long: "
const bounded = (value: string) =>
  `case when octet_length(${value}) > ${VALUE_BYTES} then '${TOO_LONG}' || octet_length(${value}) else ${value} end`

/**
 * The parts of executions are the engine's messages and the journal's steps. A step reads like the activity's message and its
 * answer. `journal`: whether this database has the table; the gate asks before the migration that makes it.
 */
const executions = (journal: boolean) => `
  with open as (
    select m.id, m.entity_type, substr(m.entity_type, 10) as workflow, m.entity_id, m.shard_id, m.payload,
      r.payload as reply
    from cluster.cluster_messages m
    left join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
    where m.kind = 0 and m.tag = 'run' and m.entity_type like 'Workflow/%'
      and m.entity_type <> 'Workflow/-/DurableClock'
      and (r.id is null or r.payload not like '{"\\_tag":"Success","value":{"\\_tag":"Complete"%')
  ), part as (
    select id, entity_type, entity_id, tag, processed, payload, null as exit, null as release, rowid as place
    from cluster.cluster_messages where kind = 0${
      journal
        ? `
    union all
    select null, null, execution_id, 'step', true, json_build_object('name', name, 'attempt', attempt)::text, exit, release,
      (extract(epoch from started_at) * 1000)::bigint
    from agents.steps`
        : ""
    }
  )
  select o.id, o.workflow, o.entity_id as execution_id, o.shard_id, ${bounded("o.payload")} as payload, ${bounded("o.reply")} as reply,
    case when p.entity_type = 'Workflow/-/DurableClock' then 'clock' else p.tag end as part_tag,
    ${bounded("p.payload")} as part_payload, ${bounded("coalesce(p.exit, pr.payload)")} as part_reply, p.release as part_release
  from open o
  left join part p on p.entity_id = o.entity_id and (
    (p.entity_type = o.entity_type and p.tag in ('activity', 'deferred'))
    or (p.entity_type = 'Workflow/-/DurableClock' and not p.processed)
    or p.tag = 'step')
  left join cluster.cluster_replies pr on pr.request_id = p.id and pr.kind = 0
  order by o.id, p.id is null, p.place`

interface CallRow {
  readonly entity_type: string
  readonly entity_id: string
  readonly tag: string | null
  readonly shard_id: string
  readonly payload: string | null
}

const calls = `
  select entity_type, entity_id, tag, shard_id, ${bounded("payload")} as payload from cluster.cluster_messages
  where kind = 0 and not processed and entity_type not like 'Workflow/%' order by id`

const unreadable = (cause: StatementFailed | DatabaseUnavailable): OpenWorkUnreadable => {
  if (cause._tag === "DatabaseUnavailable") {
    return new OpenWorkUnreadable({ precondition: cause.exitCode === 12, message: cause.message })
  }
  const denied = cause.code === "42501"
  const slow = cause.code === "57014"
  return new OpenWorkUnreadable({
    precondition: denied,
    message: `The open work can't be read: ${cause.message}. ${
      denied
        ? "The gate's role needs select on the tables of the schema cluster; migrations grant it to the role reader."
        : slow
          ? `It took longer than ${STATEMENT_TIMEOUT}. Remove finished executions from the cluster's tables, or look for what blocks the database.`
          : "Nothing was changed; run the gate again."
    }`
  })
}

const readOr = (text: string | null): Stored =>
  text?.startsWith(TOO_LONG) === true
    ? {
        _tag: "damaged",
        why: `it is ${text.slice(TOO_LONG.length)} bytes long; a gate reads no value above ${VALUE_BYTES}`
      }
    : stored(text ?? "")

/**
 * What a client or another process sent. A start with U+0000 or half a surrogate pair is refused at the door (`AgentRpcs`), and
 * `jsonb` holds neither: a row with one came another way, and no schema would tell. What models and tools print may hold them.
 */
const sentOr = (text: string | null): Stored => {
  const read = readOr(text)
  if (read._tag === "damaged" || text === null || !ESCAPED.test(text)) return read
  return holdsHalf(read.value)
    ? { _tag: "damaged", why: "it holds U+0000 or half of a surrogate pair, which no start can have had" }
    : read
}

/** JSON writes them so, and in no other way in a database of UTF-8. */
const ESCAPED = /\\u(0000|d[89a-f])/i

const isHalf = (text: string) => text.includes("\0") || !text.isWellFormed()

const holdsHalf = (value: unknown): boolean =>
  typeof value === "string"
    ? isHalf(value)
    : typeof value === "object" &&
      value !== null &&
      Object.entries(value).some(([key, each]) => isHalf(key) || holdsHalf(each))

const field = (value: unknown, ...path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>(
    (current, key) =>
      typeof current === "object" && current !== null ? (current as Record<string, unknown>)[key] : undefined,
    value
  )

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

/** What a permanent failure of the engine says, in one line. */
const deathOf = (exit: unknown): string => {
  const defect = field(exit, "cause", "defect")
  const message = textOf(field(defect, "message")) ?? textOf(defect) ?? JSON.stringify(field(exit, "cause") ?? exit)
  return message.split("\n")[0]!.slice(0, 300)
}

/** Puts the rows of one execution together; none when it has a final result after all. */
export const assemble = (rows: ReadonlyArray<PartRow>): Option.Option<Execution> => {
  const first = rows[0]!
  const reply = first.reply === null ? undefined : readOr(first.reply)
  const exit = reply?._tag === "value" ? reply.value : undefined
  if (field(exit, "_tag") === "Success" && field(exit, "value", "_tag") === "Complete") return Option.none()

  const execution: {
    -readonly [K in keyof Execution]: Execution[K] extends ReadonlyArray<infer Each> ? Array<Each> : Execution[K]
  } = {
    workflow: first.workflow,
    executionId: first.execution_id,
    shardId: first.shard_id,
    state: exit === undefined ? "running" : field(exit, "_tag") === "Failure" ? "dead" : "suspended",
    diedOf: field(exit, "_tag") === "Failure" ? deathOf(exit) : undefined,
    payload: sentOr(first.payload),
    activities: [],
    deferreds: [],
    clocks: [],
    damaged: reply?._tag === "damaged" ? [`the result of its last run: ${reply.why}`] : []
  }
  for (const row of rows) {
    if (row.part_tag === null) continue
    const part = sentOr(row.part_payload)
    const name = part._tag === "value" ? textOf(field(part.value, "name")) : undefined
    if (part._tag === "damaged" || name === undefined) {
      execution.damaged.push(`a part (${row.part_tag}): ${part._tag === "damaged" ? part.why : "it has no name"}`)
      continue
    }
    switch (row.part_tag) {
      case "activity": {
        const attempt = field(part.value, "attempt")
        execution.activities.push({
          name,
          attempt: typeof attempt === "number" ? attempt : 1,
          reply: row.part_reply === null ? undefined : readOr(row.part_reply),
          release: undefined
        })
        break
      }
      case "step": {
        const exit = readOr(row.part_reply)
        execution.activities.push({
          name,
          attempt: Number(field(part.value, "attempt")),
          reply:
            exit._tag === "damaged"
              ? exit
              : { _tag: "value", value: { _tag: "Success", value: { _tag: "Complete", exit: exit.value } } },
          release: row.part_release ?? undefined
        })
        break
      }
      case "deferred":
        execution.deferreds.push({ name, exit: field(part.value, "exit") })
        break
      case "clock":
        execution.clocks.push({ name })
        break
    }
  }
  return Option.some(execution)
}

/** Puts rows of one execution together, also across batches. By hand: the stream's own grouping is slow. */
class Groups {
  private last: Array<PartRow> = []

  /** Those that are whole. */
  add(rows: Iterable<PartRow>): Array<Array<PartRow>> {
    const whole: Array<Array<PartRow>> = []
    for (const row of rows) {
      if (this.last[0] !== undefined && this.last[0].id !== row.id) {
        whole.push(this.last)
        this.last = []
      }
      this.last.push(row)
    }
    return whole
  }

  end(): Array<Array<PartRow>> {
    return this.last.length === 0 ? [] : [this.last]
  }
}

export const layer: Layer.Layer<OpenWork, OpenWorkUnreadable, Database> = Layer.scoped(
  OpenWork,
  Effect.gen(function* () {
    const database = yield* Database
    const session = yield* database.session.pipe(Effect.mapError(unreadable))
    const query = <Row extends object>(text: string) => session.query<Row>(text).pipe(Effect.mapError(unreadable))

    yield* session
      .script(
        `begin isolation level repeatable read read only; set local statement_timeout = '${STATEMENT_TIMEOUT}'; set local lock_timeout = '2s'; set local idle_in_transaction_session_timeout = '10min'`
      )
      .pipe(Effect.mapError(unreadable))
    const [place] = yield* query<{ replica: boolean; there: boolean; journal: boolean; encoding: string }>(
      "select current_setting('server_encoding') as encoding, pg_is_in_recovery() as replica, to_regclass('cluster.cluster_messages') is not null and to_regclass('cluster.cluster_replies') is not null as there, to_regclass('agents.steps') is not null as journal"
    )
    if (place?.replica === true) {
      return yield* new OpenWorkUnreadable({
        precondition: true,
        message:
          "This database is a replica: it lags, and work accepted a moment ago is not in it. Let the gate ask the primary."
      })
    }

    if (place?.encoding !== "UTF8") {
      return yield* new OpenWorkUnreadable({
        precondition: true,
        message: `This database is encoded in ${place?.encoding}, and JSON is UTF8: what the gate read could be something else than what a runner reads. Make the database anew with encoding UTF8.`
      })
    }
    let cursors = 0
    const rows = <Row extends object>(text: string): Stream.Stream<Row, OpenWorkUnreadable> =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          const scope = yield* Effect.scope
          const cursor = `open_work_${++cursors}`
          yield* query(`declare ${cursor} no scroll cursor for ${text}`)
          // The next rows are on their way while these are judged. The yield lets the question go out before that begins.
          const fetch = session
            .simple<Row>(`fetch ${BATCH} from ${cursor}`)
            .pipe(Effect.mapError(unreadable), Effect.forkScoped, Effect.zipLeft(Effect.yieldNow()))
          let ahead = yield* fetch
          return Stream.repeatEffectChunkOption(
            Effect.gen(function* () {
              const batch = yield* Effect.mapError(Fiber.join(ahead), Option.some)
              if (batch.length === 0) return yield* Effect.fail(Option.none())
              ahead = yield* fetch.pipe(Effect.provideService(Scope.Scope, scope))
              return Chunk.fromIterable(batch)
            })
          )
        })
      )

    return {
      exists: Effect.succeed(place?.there === true),
      executions: Stream.suspend(() => {
        const groups = new Groups()
        return rows<PartRow>(executions(place.journal)).pipe(
          Stream.mapChunks((chunk) => Chunk.filterMap(Chunk.unsafeFromArray(groups.add(chunk)), assemble)),
          Stream.concat(
            Stream.suspend(() => Stream.fromChunk(Chunk.filterMap(Chunk.unsafeFromArray(groups.end()), assemble)))
          )
        )
      }),
      calls: rows<CallRow>(calls).pipe(
        Stream.map(
          (row): OpenCall => ({
            entityType: row.entity_type,
            entityId: row.entity_id,
            tag: row.tag ?? "",
            shardId: row.shard_id,
            payload: sentOr(row.payload)
          })
        )
      )
    }
  })
)
