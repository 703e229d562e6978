/** What `make bench-gates` judges: rows of the form in which the engine writes them. */
import { Effect } from "effect"
import pg from "pg"
import { agentWorkflow } from "../../src/agent/AgentWorkflow.ts"
import { shardNumber } from "../../src/gates/workflows/rules/Shard.ts"

export interface Amounts {
  readonly open: number
  readonly finished: number
  readonly releases: number
}

const complete = (value?: unknown) => ({
  _tag: "Success",
  value: { _tag: "Complete", exit: { _tag: "Success", ...(value === undefined ? {} : { value }) } }
})
const answer = { text: "some forty characters of an answer, or so", inputTokens: 20, outputTokens: 9 }
const activities = [
  ["Plan", complete({ calls: [{ call: "1", tool: "time", input: "UTC" }], approval: "it spends money" })],
  ["CallModel", complete(answer)],
  ["CallTool#1", complete({ outcome: "ok", output: "12:00" })],
  ["RequestApproval", complete()],
  ["RecordApproval", complete()]
] as const
const suspended = JSON.stringify({ _tag: "Success", value: { _tag: "Suspended" } })

interface Part {
  readonly tag: string
  readonly payload: unknown
  readonly reply: unknown
}
const activity = (index: number, begun = false): Part => ({
  tag: "activity",
  payload: { name: activities[index]![0], attempt: 1 },
  reply: begun ? undefined : activities[index]![1]
})
const approval: Part = {
  tag: "deferred",
  payload: { name: "Approval", exit: { _tag: "Success", value: { by: "a person" } } },
  reply: { _tag: "Success", value: { _tag: "Success" } }
}
/** Of ten executions, how far each is. */
const states: ReadonlyArray<ReadonlyArray<Part>> = [
  ...Array.from({ length: 4 }, () => [activity(0), activity(1, true)]),
  ...Array.from({ length: 5 }, () => [0, 1, 2, 3].map((index) => activity(index))),
  [...[0, 1, 2, 3].map((index) => activity(index)), approval, activity(4, true)]
]

/** As arrays and by one statement a batch: rows one by one took minutes. */
const insertOpen = `with given as (
    select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) as row(id, shard, entity, tag, payload, reply)),
  messages as (
    insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
    select id, 'bench/' || id, shard, 'Workflow/AgentWorkflow', entity, 0, tag, payload, '{}', reply is not null, id from given)
  insert into cluster.cluster_replies (id, kind, request_id, payload)
  select id + 1, 0, id, reply from given where reply is not null`

/** Eight rows each: four messages and what answered them. */
const insertFinished = `with ids as (
    select n, $2::bigint + n * 20 + part * 2 as id, part, md5(n::text) as entity
    from generate_series(1, $1::int) n, generate_series(0, 3) part),
  messages as (
    insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
    select id, 'bench/' || id, 'default:1', 'Workflow/AgentWorkflow', entity, 0,
      case part when 0 then 'run' else 'activity' end,
      case part when 0 then $3 else '{"name":"CallTool#' || part || '","attempt":1}' end, '{}', true, id from ids)
  insert into cluster.cluster_replies (id, kind, request_id, payload) select id + 1, 0, id, $4 from ids`

const BATCH = 2_000

export const fill = (url: string, { open, finished, releases }: Amounts, surface: string) =>
  Effect.gen(function* () {
    const client = new pg.Client({ connectionString: url })
    yield* Effect.acquireRelease(
      Effect.promise(() => client.connect()),
      () => Effect.promise(() => client.end())
    )
    // It is filled before anything is measured: whether that is on the disk already changes no figure.
    yield* Effect.promise(() => client.query("set synchronous_commit = off"))
    let id = 0
    for (let from = 0; from < open; from += BATCH) {
      const columns: Array<Array<unknown>> = [[], [], [], [], [], []]
      for (let n = from; n < Math.min(open, from + BATCH); n++) {
        const payload = {
          tenantId: "bench",
          sessionId: `s${n % 1_000}`,
          runId: `r${n}`,
          message: "hello",
          model: "local"
        }
        const entity = yield* agentWorkflow.workflow.executionId(payload as never)
        const shard = `default:${shardNumber(entity, 300)}`
        const parts = states[n % states.length]!
        const row = (tag: string, text: string, reply: string | undefined) => {
          id += 2
          for (const [at, value] of [id, shard, entity, tag, text, reply ?? null].entries()) columns[at]!.push(value)
        }
        row("run", JSON.stringify(payload), parts.at(-1)!.reply === undefined ? undefined : suspended)
        for (const part of parts) row(part.tag, JSON.stringify(part.payload), JSON.stringify(part.reply))
      }
      yield* Effect.promise(() => client.query(insertOpen, columns))
    }
    const payload = { tenantId: "bench", sessionId: "s", runId: "r", message: "hello", model: "local" }
    yield* Effect.promise(() =>
      client.query(insertFinished, [finished, id + 1_000, JSON.stringify(payload), JSON.stringify(complete(answer))])
    )
    for (let n = 0; n < releases; n++) {
      const state = n === 0 ? "deployed" : "rollback-choice"
      yield* Effect.promise(() =>
        client.query("insert into agents.releases (release, surface, state) values ($1, $2::jsonb, $3)", [
          n.toString(16).padStart(40, "0"),
          surface,
          state
        ])
      )
    }
    yield* Effect.promise(() => client.query("vacuum analyze"))
  }).pipe(Effect.scoped)
