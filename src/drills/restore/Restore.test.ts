import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import type { Ask } from "./Compare.ts"
import { contents, notCompared } from "./contents.ts"
import * as Restore from "./Restore.ts"

const AS_OF = "2026-03-01T12:00:00Z"

/** Of the engine, from milliseconds since 2025. */
const id = (at: string, sequence: number) =>
  `${(BigInt(Date.parse(at) - Date.UTC(2025, 0, 1)) << 22n) + BigInt(sequence)}`

/** A run that has ended, one that works, one that waits, and one that came after the moment. */
const seed = (late: boolean) => {
  const run = (name: string, status: string, at: string, finished: string | null) => [
    `insert into agents.sessions values ('acme', '${name}', 2, '${at}')`,
    `insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release, accepted_at, finished_at)
     values ('acme', '${name}', '${name}', 'x-${name}', 'AgentWorkflow', '${status}', 'r1', '${at}', ${finished === null ? "null" : `'${finished}'`})`,
    `insert into agents.events (tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release, occurred_at)
     values ('acme', '${name}', 1, '${name}', 'x-${name}', 'accept', 0, 'RunAccepted', '{"message":"m"}', 'r1', '${at}'),
       ('acme', '${name}', 2, '${name}', 'x-${name}', 'last', 0, '${finished === null ? "ToolCall" : "Completed"}', '{"text":"t"}', 'r1', '${at}')`
  ]
  return [
    ...run("ended", "completed", "2026-03-01T11:00:00Z", "2026-03-01T11:01:00Z"),
    ...run("works", "accepted", "2026-03-01T11:59:00Z", null),
    ...run("waits", "waiting", "2026-03-01T11:58:00Z", null),
    ...(late ? run("late", "accepted", "2026-03-01T12:00:01Z", null) : []),
    `insert into agents.steps values ('x-works', 'Plan', 1, '{}', 'r1', 'f', '2026-03-01T11:59:01Z', '2026-03-01T11:59:02Z')`,
    `insert into agents.token_usage values ('acme', 'x-ended', 's', 'AgentWorkflow', 'local', 7, 9, '2026-03-01T11:00:30Z')`,
    `insert into agents.memories (tenant_id, execution_id, idempotency_key, body, created_at)
     values ('acme', 'x-ended', 'k', 'likes tea', '2026-03-01T11:00:40Z')`,
    `insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, processed, request_id)
     values (${id("2026-03-01T11:59:00Z", 1)}, 'm1', 'default:1', 'Workflow/AgentWorkflow', 'x-works', 0, 'run', '{}', false, ${id("2026-03-01T11:59:00Z", 1)})`,
    `insert into cluster.cluster_replies (id, kind, request_id, payload, acked)
     values (${id("2026-03-01T11:59:01Z", 2)}, 0, ${id("2026-03-01T11:59:00Z", 1)}, '{}', false)`,
    "insert into cluster.cluster_runners (address, runner, healthy, last_heartbeat) values ('10.0.0.1:50000', '{}', true, now())",
    "insert into agents.runners (runner, release, carries) values ('effect-agent-runtime-0', 'r1', '{}')"
  ].join(";")
}

const ask =
  (database: MigratedDatabase): Ask =>
  (text, values) =>
    database.query(text, values)

/** What a runner would do, without one. */
const working = (database: MigratedDatabase, name: string) =>
  Effect.asVoid(
    database.query(`
      update agents.runs set status = 'completed', runner = '${name}', finished_at = now() where run_id = 'works';
      insert into agents.events (tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release)
      values ('acme', 'works', 3, 'works', 'x-works', 'end', 0, 'Completed', '{"text":"t"}', 'r1');
      update agents.sessions set last_event_id = 3 where session_id = 'works'`)
  )

const approving = (database: MigratedDatabase) =>
  Effect.asVoid(
    database.query(`
      update agents.runs set status = 'completed', finished_at = now() where run_id = 'waits';
      insert into agents.events (tenant_id, session_id, event_id, run_id, execution_id, step, sequence, type, payload, release)
      values ('acme', 'waits', 3, 'waits', 'x-waits', 'end', 0, 'Completed', '{"text":"t"}', 'r1');
      update agents.sessions set last_event_id = 3 where session_id = 'waits'`)
  )

interface Worlds {
  readonly source: MigratedDatabase
  readonly copy: MigratedDatabase
}

/** The database, which has gone on, and a copy of it with what is wrong there. `since`: what happened to the database after the copy. */
const drilled = (
  wrong: string,
  change: (worlds: Worlds) => Partial<Restore.RestoreSurroundings> = () => ({}),
  since = ""
): Effect.Effect<Restore.RestoreJournal, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const source = yield* migratedDatabase
    const copy = yield* migratedDatabase
    yield* source.query(`${seed(true)};${since}`)
    yield* copy.query(`${seed(false)};${wrong}`)
    return yield* Restore.run({
      source: ask(source),
      copy: ask(copy),
      asOf: AS_OF,
      runner: (name) => working(copy, name),
      approve: () => approving(copy),
      log: () => Effect.void,
      limit: "300 millis",
      ...change({ source, copy })
    })
  })

describe("a restore", () => {
  it.scopedLive("is whole when the copy has all from before the moment, and what was open ends there", () =>
    Effect.gen(function* () {
      let runners = -1
      const journal = yield* drilled("", ({ copy }) => ({
        runner: (name) =>
          Effect.gen(function* () {
            const [left] = yield* copy.query<{ n: number }>(
              "select ((select count(*) from agents.runners) + (select count(*) from cluster.cluster_runners))::int as n"
            )
            runners = left!.n
            yield* working(copy, name)
          })
      }))
      expect(journal.steadyState.after).toEqual({ runs: 3, executionsLost: 0, eventsDoubled: 0, findings: [] })
      expect(journal.status).toBe("completed")
      expect(journal.open).toEqual({ inFlight: 1, asleep: 0, waiting: 1, approved: 1 })
      // A runner on a copy must never call those of the database itself.
      expect(runners).toBe(0)
    })
  )

  const broken: ReadonlyArray<readonly [what: string, sql: string, finding: RegExp]> = [
    [
      "a run",
      "delete from agents.runs where run_id = 'waits'",
      /^agents\.runs: of 3 rows the copy lacks 1 .*\(acme,waits\)/
    ],
    ["an end", "update agents.runs set status = 'failed' where run_id = 'ended'", /^ends of runs: .* has 1 otherwise/],
    [
      "an event",
      "delete from agents.events where run_id = 'works' and event_id = 2",
      /^events: of 6 rows the copy lacks 1 /
    ],
    [
      "an event's words",
      `update agents.events set payload = '{"message":"n"}' where run_id = 'waits' and event_id = 1`,
      /^events: .* has 1 otherwise/
    ],
    ["a recorded step", "delete from agents.steps", /^agents\.steps: of 1 rows the copy lacks 1 /],
    ["used tokens", "update agents.token_usage set output_tokens = 8", /^agents\.token_usage: .* has 1 otherwise/],
    ["a memory", "delete from agents.memories", /^agents\.memories: of 1 rows the copy lacks 1 /],
    [
      "a message of the engine",
      "delete from cluster.cluster_messages",
      /^cluster\.cluster_messages: of 1 rows the copy lacks 1 /
    ],
    [
      "an answer of the engine",
      "delete from cluster.cluster_replies",
      /^cluster\.cluster_replies: of 1 rows the copy lacks 1 /
    ],
    [
      "where a sequence stood",
      "select setval('agents.memories_memory_id_seq', 1, false)",
      /^agents\.memories_memory_id_seq stands at 1, but agents\.memories\.memory_id goes up to 1: new rows would get keys that are taken$/
    ],
    [
      "a session's last event id",
      "update agents.sessions set last_event_id = 1 where session_id = 'ended'",
      /^session acme\/ended has event 2 and would number the next one 2$/
    ],
    [
      "an outcome",
      "delete from agents.events where type = 'Completed'",
      /^run acme\/ended is completed and has no event that says so$/
    ]
  ]

  it.scopedLive.each(broken)("that lost %s deviates, and says what", ([, sql, finding]) =>
    Effect.gen(function* () {
      const journal = yield* drilled(sql)
      expect(journal.status).toBe("deviated")
      expect(journal.steadyState.after.findings.filter((one) => finding.test(one))).toHaveLength(1)
    })
  )

  it.scopedLive("deviates when what was in flight stays where it was", () =>
    Effect.gen(function* () {
      const journal = yield* drilled("", () => ({ runner: () => Effect.void }))
      expect(journal.status).toBe("deviated")
      expect(journal.steadyState.after.findings).toEqual(["1 of 1 runs in flight did not go on"])
      expect(journal.steadyState.after.executionsLost).toBe(1)
    })
  )

  it.scopedLive("deviates when the runner's work changes what had been told before", () =>
    Effect.gen(function* () {
      const journal = yield* drilled("", ({ copy }) => ({
        runner: (name) =>
          Effect.zipRight(
            working(copy, name),
            copy.query("delete from agents.events where run_id = 'works' and event_id = 2")
          ).pipe(Effect.asVoid)
      }))
      expect(journal.steadyState.after.findings).toEqual([
        "after the runner's work, events: of 6 rows the copy lacks 1 and has 0 otherwise, for example (acme,works,2)"
      ])
    })
  )

  it.scopedLive("deviates when the copy's runner writes into the database itself", () =>
    Effect.gen(function* () {
      const journal = yield* drilled("", ({ source, copy }) => ({
        runner: (name) =>
          Effect.zipRight(
            working(copy, name),
            source.query(`update agents.runs set runner = '${name}' where run_id = 'late'`)
          ).pipe(Effect.asVoid)
      }))
      expect(journal.status).toBe("deviated")
      expect(journal.steadyState.after.findings).toEqual(["The copy's runner wrote into the database itself: 1 runs."])
    })
  )

  it.scopedLive("has shown nothing of resumption when nothing was open", () =>
    Effect.gen(function* () {
      const source = yield* migratedDatabase
      const copy = yield* migratedDatabase
      const journal = yield* Restore.run({
        source: ask(source),
        copy: ask(copy),
        asOf: AS_OF,
        runner: () => Effect.void,
        approve: () => Effect.void,
        log: () => Effect.void
      })
      expect(journal.status).toBe("no-fault")
    })
  )

  it.scopedLive("is refused on the database itself, and where somebody holds shards", () =>
    Effect.gen(function* () {
      const source = yield* migratedDatabase
      const copy = yield* migratedDatabase
      const around = {
        asOf: AS_OF,
        runner: () => Effect.die("started"),
        approve: () => Effect.void,
        log: () => Effect.void
      }
      const itself = yield* Effect.flip(Restore.run({ ...around, source: ask(source), copy: ask(source) }))
      expect(itself.message).toMatch(/^The copy is the database itself/)
      yield* copy.query("select pg_advisory_lock(1000001)")
      const taken = yield* Effect.flip(Restore.run({ ...around, source: ask(source), copy: ask(copy) }))
      expect(taken.message).toMatch(/^Somebody holds 1 advisory locks in .*: runners work there already\.$/)
    })
  )

  it.scopedLive("names tenants that the copy has again, and takes what retention removed since for no loss", () =>
    Effect.gen(function* () {
      const journal = yield* drilled(
        "",
        () => ({}),
        `delete from agents.token_usage; delete from agents.events where run_id = 'ended';
         insert into agents.tenant_jobs (tenant_id, kind, requested_by, why) values ('globex', 'removal', 'ann', 'ended')`
      )
      expect(journal.steadyState.after.findings).toEqual([])
      expect(journal.status).toBe("completed")
      expect(journal.removedSince).toEqual(["globex"])
    })
  )
})

it.scopedLive("compares every table of ours and of the engine, or says why not", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const live = yield* database.query<{ name: string }>(
      `select schemaname || '.' || tablename as name from pg_tables t
       where schemaname in ('agents', 'cluster') and not exists (
         select from pg_inherits i where i.inhrelid = format('%I.%I', t.schemaname, t.tablename)::regclass) order by 1`
    )
    const known = [...contents.flatMap(({ tables }) => tables), ...Object.keys(notCompared)]
    expect(live.map(({ name }) => name).filter((name) => !known.includes(name))).toEqual([])
    expect(known.filter((name) => !live.some((table) => table.name === name))).toEqual([])
  })
)
