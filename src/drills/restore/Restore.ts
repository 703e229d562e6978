/**
 * `restore`: a copy of the database, made from its backup, is held against the database as it was at that moment; then a runner starts
 * on the copy and carries on what was in flight there. Nothing may be lost or doubled, and the database itself must not notice.
 *
 * Who makes the copy is not the drill's business: Cloud SQL's clone to a point in time (`cloudbuild.drills.yaml`), a base backup with
 * archived WAL on a laptop (`make drill-restore`).
 */
import { Clock, type Duration, Effect, Schedule, type Scope } from "effect"
import type { DrillAborted, Journal } from "../Drill.ts"
import { DrillAborted as Aborted } from "../Drill.ts"
import { recorder } from "../DrillRuns.ts"
import * as Invariants from "../Invariants.ts"
import { type Ask, type Compared, compare, findingsOf } from "./Compare.ts"
import { contents } from "./contents.ts"
import * as Keys from "./Keys.ts"

export interface OpenRun {
  readonly tenantId: string
  readonly sessionId: string
  readonly runId: string
  readonly executionId: string
  readonly status: "accepted" | "waiting"
  /** Until a moment that is still to come. Nothing shows of it then but that its alarm is there. */
  readonly asleep: boolean
}

export interface RestoreSurroundings {
  /** The database, asked as a role that reads all. */
  readonly source: Ask
  /** The copy, asked as its tables' owner. */
  readonly copy: Ask
  /** A moment before the one that the copy was restored to, such that every transaction from before it had ended by then. */
  readonly asOf: string
  /** Starts this release's runner on the copy, under this name, and waits until it is ready. It ends with the scope. */
  readonly runner: (name: string) => Effect.Effect<void, DrillAborted, Scope.Scope>
  /** Approves a run that waits, through that runner. */
  readonly approve: (run: OpenRun) => Effect.Effect<void, DrillAborted>
  readonly log: (line: string) => Effect.Effect<void>
  /** How long what was in flight may take to end, or to wait for a person. */
  readonly limit?: Duration.DurationInput
}

export interface RestoreJournal extends Journal {
  readonly asOf: string
  readonly compared: ReadonlyArray<Compared>
  readonly open: {
    readonly inFlight: number
    /** For ten minutes or more yet. */
    readonly asleep: number
    readonly waiting: number
    readonly approved: number
  }
  /** Tenants that were removed since: the copy has them again. */
  readonly removedSince: ReadonlyArray<string>
}

export const name = "restore"
export const summary =
  "hold a copy made from the backup against the database, and carry on there what was in flight (`deliver drill restore --help`)"
export const hypothesis =
  "all that was accepted by then is in the copy, and a runner there ends what was in flight, each event once"

/** So many of the runs that wait for a person are approved in the copy. */
const APPROVALS = 5

const PLACE = `select concat_ws('/', coalesce(host(inet_server_addr()), 'local'), inet_server_port(), current_database()) as place,
  pg_is_in_recovery() as recovering,
  (select count(*)::int from pg_locks l where l.locktype = 'advisory'
     and l.database = (select oid from pg_database where datname = current_database())) as locks`

const OPEN = `select tenant_id as "tenantId", session_id as "sessionId", run_id as "runId", execution_id as "executionId", status,
  exists (select from cluster.cluster_messages m where m.entity_type = 'Workflow/-/DurableClock' and m.entity_id = r.execution_id
    and not m.processed and m.deliver_at > extract(epoch from clock_timestamp()) * 1000 + 600000) as asleep
from agents.runs r where finished_at is null order by accepted_at`

const STILL =
  "select count(*)::int as n from agents.runs where execution_id = any($1::text[]) and status = any($2::text[])"

const TOLD = "select count(*)::int as n from agents.runs where runner = $1"

const REMOVED = `select distinct tenant_id as "tenantId" from agents.tenant_jobs
where kind = 'removal' and (finished_at is null or finished_at > $1::timestamptz) order by 1`

interface Place {
  readonly place: string
  readonly recovering: boolean
  readonly locks: number
}

/** A copy on which somebody works, or which is the database itself, is none: a runner there would do real work twice. */
const certify = (source: Ask, copy: Ask) =>
  Effect.gen(function* () {
    const [here] = yield* source<Place>(PLACE, [])
    const [there] = yield* copy<Place>(PLACE, [])
    const refuse = (message: string) => Effect.fail(new Aborted({ message }))
    if (here?.place === there?.place)
      return yield* refuse(`The copy is the database itself (${here?.place}): nothing was done.`)
    if (there?.recovering === true) {
      return yield* refuse(
        `${there.place} is still being restored, or follows another server: a runner can't write there.`
      )
    }
    if (there === undefined || there.locks > 0) {
      return yield* refuse(
        `Somebody holds ${there?.locks} advisory locks in ${there?.place}: runners work there already.`
      )
    }
    return `${there.place}, a copy of ${here?.place}`
  })

const count = (ask: Ask, text: string, values: ReadonlyArray<unknown>) =>
  Effect.map(ask<{ n: number }>(text, values), ([row]) => row?.n ?? 0)

/** Waits until none of the runs has one of the states; answers how many still have. */
const leave = (
  copy: Ask,
  runs: ReadonlyArray<OpenRun>,
  states: ReadonlyArray<string>,
  limit: Duration.DurationInput
) => {
  const still = count(copy, STILL, [runs.map(({ executionId }) => executionId), states])
  return still.pipe(
    Effect.repeat({ schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo(limit)), until: (n) => n === 0 }),
    Effect.andThen(still)
  )
}

const afterwards = contents.filter(({ name }) =>
  ["agents.runs", "ends of runs", "events", "agents.token_usage"].includes(name)
)

export const run = (around: RestoreSurroundings): Effect.Effect<RestoreJournal, DrillAborted> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { source, copy, asOf, limit = "2 minutes" } = around
      const started = yield* Clock.currentTimeMillis
      const runner = `drill-restore-${crypto.randomUUID().slice(0, 8)}`
      const { method, record } = recorder(around.log)

      const place = yield* record("see that the copy is one, and nobody's", "probe", certify(source, copy))
      const compared = yield* record(`compare it with the database as of ${asOf}`, "probe", compare(source, copy, asOf))
      const keys = yield* record("look at its keys", "probe", Keys.check(copy))
      const removed = yield* source<{ tenantId: string }>(REMOVED, [asOf])
      const open = yield* copy<OpenRun>(OPEN, [])
      const asleep = open.filter((one) => one.status === "accepted" && one.asleep).length
      const inFlight = open.filter((one) => one.status === "accepted" && !one.asleep)
      const waiting = open.filter(({ status }) => status === "waiting").slice(0, APPROVALS)
      const lost = compared.find(({ name }) => name === "agents.runs")?.missing ?? 0
      const doubled = (findings: ReadonlyArray<string>, executionsLost: number) =>
        Effect.map(
          Invariants.check<DrillAborted>("the copy", <Row extends object>(text: string, pattern: string) =>
            copy<Row>(text, [pattern])
          ),
          (verdict): Invariants.Verdict => ({
            runs: verdict.runs,
            executionsLost,
            eventsDoubled: verdict.eventsDoubled,
            findings: [...findings, ...verdict.findings.filter((finding) => !finding.includes("never ended"))]
          })
        )
      const before = yield* doubled([...findingsOf(compared), ...keys], lost)

      // Otherwise the runner would call those of the database itself, which are alive.
      yield* record("forget the database's runners", "action", copy("delete from agents.runners", []))
      yield* copy("delete from cluster.cluster_runners", [])
      const startedAt = yield* Clock.currentTimeMillis
      const start = yield* Effect.either(record(`start runner ${runner} on it`, "action", around.runner(runner)))
      const dead = start._tag === "Left" ? [`No runner works on the copy: ${start.left.message}`] : []
      const stuck =
        dead.length > 0
          ? inFlight.length
          : yield* record("wait for what was in flight", "probe", leave(copy, inFlight, ["accepted"], limit))
      const approvals =
        dead.length > 0
          ? []
          : yield* record(
              "approve what waits for a person",
              "action",
              Effect.forEach(waiting, (one) => Effect.either(around.approve(one)))
            )
      const unended =
        dead.length > 0
          ? waiting.length
          : yield* record("wait for it", "probe", leave(copy, waiting, ["accepted", "waiting"], limit))
      const recoveryMs = (yield* Clock.currentTimeMillis) - startedAt
      const worked = yield* count(copy, TOLD, [runner])

      const again = yield* record("compare what may not have changed", "probe", compare(source, copy, asOf, afterwards))
      const strays = yield* count(source, TOLD, [runner])
      const after = yield* doubled(
        [
          ...before.findings,
          ...dead,
          ...(stuck > 0 ? [`${stuck} of ${inFlight.length} runs in flight did not go on`] : []),
          ...approvals.flatMap((one) => (one._tag === "Left" ? [one.left.message] : [])),
          ...(unended > 0 ? [`${unended} of ${waiting.length} runs that were approved did not end`] : []),
          ...findingsOf(again).map((finding) => `after the runner's work, ${finding}`),
          ...(strays > 0 ? [`The copy's runner wrote into the database itself: ${strays} runs.`] : [])
        ],
        lost + stuck
      )
      const held = after.findings.length === 0 && after.executionsLost === 0 && after.eventsDoubled === 0
      const showed = inFlight.length + waiting.length > 0 && worked > 0
      return {
        drill: name,
        hypothesis,
        status: !held ? "deviated" : showed ? "completed" : "no-fault",
        steadyState: { before, after },
        method,
        fault: showed
          ? `${place}: ${worked} of ${open.length} open runs went on there, on a runner that was new`
          : null,
        takeoverMs: null,
        recoveryMs: stuck + unended === 0 ? recoveryMs : null,
        startedAt: new Date(started).toISOString(),
        durationMs: (yield* Clock.currentTimeMillis) - started,
        asOf,
        compared,
        open: {
          inFlight: inFlight.length,
          asleep,
          waiting: open.length - inFlight.length - asleep,
          approved: approvals.filter(({ _tag }) => _tag === "Right").length
        },
        removedSince: removed.map(({ tenantId }) => tenantId)
      }
    })
  )
