/** What `make bench` measures: each suite is engines, started in turn, and the loads that each of them gets. */
import { dbosLocal, dbosRemote, type Engine, type Load, ours, restate } from "./engines/Engine.ts"

/** What runners, and clients in one process with them, are told. */
const STOCK = { MESSAGE_STORAGE: "stock", STEP_ENGINE: "stock" }
const GROUP = { MESSAGE_STORAGE: "group", STEP_ENGINE: "stock" }
const JOURNAL = { MESSAGE_STORAGE: "group", STEP_ENGINE: "journal" }

export const FINISHED = 1_000_000

/**
 * Executions that have ended, as the journal leaves them: a message, its reply, two steps. Ids are lower than any that is made
 * today, as those of older ones are.
 */
const fill = (executions: number) => [
  `insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed,
    request_id, last_reply_id, last_read)
  select n * 2, 'Workflow/Bench/' || md5(n::text) || '/run/', 'default:' || 1 + n % 300, 'Workflow/Bench', md5(n::text), 0, 'run',
    '{"id":"00000000-0000-0000-0000-000000000000","steps":2,"text":""}', '{}', true, n * 2, n * 2 + 1, now()
  from generate_series(1, ${executions}::bigint) n`,
  `insert into cluster.cluster_replies (id, kind, request_id, payload)
  select n * 2 + 1, 0, n * 2, '{"_tag":"Success","value":{"_tag":"Complete","exit":{"_tag":"Success","value":{"done":2}}}}'
  from generate_series(1, ${executions}::bigint) n`,
  `insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
  select md5(n::text), 'step-' || s, 1, '{"_tag":"Success","value":{"step":1,"ok":true,"text":""}}', 'bench', '0123456789abcdef', now(), now()
  from generate_series(1, ${executions}::bigint) n, generate_series(1, 2) s`,
  "vacuum analyze cluster.cluster_messages, cluster.cluster_replies, agents.steps",
  "checkpoint"
]

export const local = ours({ name: "ours, one process", database: "journal_local", runners: 0, env: JOURNAL })
export const remote = ours({ name: "ours, client and runner", database: "journal_remote", runners: 1, env: JOURNAL })
export const three = ours({ name: "ours, client and 3 runners", database: "journal_three", runners: 3, env: JOURNAL })
export const grown = ours({
  name: "ours, one process, 10⁶ finished",
  database: "journal_grown",
  runners: 0,
  env: JOURNAL,
  fill: fill(FINISHED)
})
export const grownRemote = ours({
  name: "ours, client and runner, 10⁶ finished",
  database: "journal_grown_remote",
  runners: 1,
  env: JOURNAL,
  fill: fill(FINISHED)
})
/** Counts what it allocates and how long it collects, with so many MB for what is young. */
const counting = (name: string, env: Readonly<Record<string, string>>, megabytes: number) =>
  ours({
    name: `${name}, ${megabytes} MB`,
    database: `${name.replaceAll(" ", "_").toLowerCase()}_${megabytes}`,
    runners: 0,
    env: { ...env, GC: "1", NODE_OPTIONS: `--max-semi-space-size=${megabytes}` }
  })

export { dbosLocal, dbosRemote, restate }

const small = (inFlight: number): Load => ({ inFlight, steps: 2, bytes: 0 })

export interface Suite {
  readonly engines: ReadonlyArray<Engine>
  readonly loads: ReadonlyArray<Load>
  readonly floor: boolean
  /** Of each load, and of the load that goes before it. */
  readonly seconds?: number
  readonly warmSeconds?: number
}

export const suites: Readonly<Record<string, Suite>> = {
  engines: {
    engines: [
      local,
      dbosLocal,
      remote,
      dbosRemote,
      restate,
      three,
      ours({ name: "without journal, one process", database: "group_local", runners: 0, env: GROUP }),
      ours({ name: "stock Effect, one process", database: "stock_local", runners: 0, env: STOCK }),
      ours({ name: "without journal, client and runner", database: "group_remote", runners: 1, env: GROUP }),
      ours({ name: "stock Effect, client and runner", database: "stock_remote", runners: 1, env: STOCK })
    ],
    loads: [small(50), small(1), small(500)],
    floor: true
  },
  steps: {
    engines: [local, dbosLocal, remote, dbosRemote, restate],
    loads: [2, 10, 50].map((steps) => ({ inFlight: 50, steps, bytes: 0 })),
    floor: false
  },
  payload: {
    engines: [local, dbosLocal, remote, dbosRemote, restate],
    loads: [1_000, 100_000].map((bytes) => ({ inFlight: 50, steps: 2, bytes })),
    floor: false
  },
  // The library takes an ended execution's entity down ten to twenty seconds later: here that is under way throughout.
  steady: {
    engines: [local, dbosLocal, remote, dbosRemote, restate],
    loads: [small(50), small(500)],
    floor: false,
    warmSeconds: 12,
    seconds: 18
  },
  growth: { engines: [local, grown, remote, grownRemote], loads: [small(50), small(1)], floor: false },
  memory: {
    engines: [
      ...[16, 32, 64, 128].map((megabytes) => counting("ours", JOURNAL, megabytes)),
      counting("without journal", GROUP, 64),
      ...[16, 64].map((megabytes) => counting("stock Effect", STOCK, megabytes))
    ],
    loads: [small(50)],
    floor: false
  },
  allocations: {
    engines: [
      ours({ name: "ours", database: "allocations_ours", runners: 0, env: { ...JOURNAL, ALLOCATIONS: "1" } }),
      ours({ name: "without journal", database: "allocations_group", runners: 0, env: { ...GROUP, ALLOCATIONS: "1" } }),
      ours({ name: "stock Effect", database: "allocations_stock", runners: 0, env: { ...STOCK, ALLOCATIONS: "1" } })
    ],
    loads: [small(50)],
    floor: false
  }
}
