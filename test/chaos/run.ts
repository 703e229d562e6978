/**
 * `make test-chaos`: plays randomised schedules and judges each history. Environment:
 *
 *     SEED=n          plays this one alone
 *     SCHEDULES=200   how many, from FIRST (default: drawn from the clock, and printed)
 *     LASTS=n         begins none after so many seconds, and says from which seed to go on
 *     LANES=3         how many fleets, each with a database of its own, are played on at once
 *     MESSAGE_STORAGE=stock, STEP_ENGINE=stock     the runners' storage and step engine (default: group, auto)
 *     SLOW=n          keeps history and logs, too, of those that needed more than n seconds to go quiet
 *     BUSY=0          busy processes beside them, to take the processors away
 *
 * Ends with 1 and the seeds when a promise was broken; what the runners printed is then in a file that is named.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtemp, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Cause, Effect, Exit, Scope } from "effect"
import { testImage } from "../support/image.ts"
import { messageStorage, stepEngine } from "../support/message-storage.ts"
import { fleet } from "./Fleet.ts"
import { check } from "./History.ts"
import { play } from "./Play.ts"
import { describeFault, scenario, wholeNumber } from "./Scenario.ts"

const RUNNERS = 3

const only = process.env["SEED"]
const first = only === undefined || only === "" ? wholeNumber("FIRST", Date.now() % 1_000_000) : wholeNumber("SEED", 0)
const count = only === undefined || only === "" ? wholeNumber("SCHEDULES", 200) : 1
const lanes = Math.min(wholeNumber("LANES", 3), count)
const lasts = wholeNumber("LASTS", 0)
const slow = 1_000 * (wholeNumber("SLOW", 0) || Number.POSITIVE_INFINITY)

/** What a runner logs whose step was refused: where this never happens, the rule of one owner was not put to the test. */
const FENCED = "The shard was taken by another runner"

const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const busy = Effect.acquireRelease(
  Effect.sync(() =>
    Array.from({ length: wholeNumber("BUSY", 0) }, (): ChildProcess => spawn(process.execPath, ["-e", "for (;;);"]))
  ),
  (all) => Effect.sync(() => all.forEach((one) => one.kill("SIGKILL")))
)

const program = Effect.gen(function* () {
  yield* busy
  const image = yield* testImage()
  const seeds = Array.from({ length: count }, (_, index) => first + index)
  const broken: Array<number> = []
  let played = 0
  let fenced = 0
  const timeIsUp = () => lasts > 0 && performance.now() > lasts * 1_000
  const lane = Effect.gen(function* () {
    const scope = yield* Effect.scope
    // On a machine with ten times the work that it can do, a database may take too long to begin with.
    const stage = yield* fleet({ image, runners: RUNNERS }).pipe(
      Scope.extend(scope),
      Effect.sandbox,
      Effect.retry({ times: 3 }),
      Effect.orDie
    )
    while (true) {
      const seed = timeIsUp() ? undefined : seeds.shift()
      if (seed === undefined) {
        fenced += stage.output().split(FENCED).length - 1
        return
      }
      const plan = scenario(seed, RUNNERS)
      const started = Date.now()
      const from = stage.output().length
      const exit = yield* Effect.exit(play(stage, plan))
      if (Exit.isFailure(exit)) {
        broken.push(seed)
        yield* print(`FAILED SEED=${seed} could not be played to its end: ${Cause.pretty(exit.cause)}`)
        continue
      }
      const { history, neverReady, quietAfterMillis } = exit.value
      const violations = [...check(history), ...neverReady.map((what) => ({ rule: "fleet", where: "runners", what }))]
      const took = ((Date.now() - started) / 1000).toFixed(1)
      const quiet =
        quietAfterMillis === undefined ? "never quiet" : `quiet after ${(quietAfterMillis / 1000).toFixed(1)} s`
      played += 1
      yield* print(
        `${violations.length === 0 ? "ok    " : "BROKEN"} SEED=${seed} ${plan.runs.length} runs, ${plan.faults.map(describeFault).join("; ")}; ${quiet}, ${took} s`
      )
      if (violations.length > 0) broken.push(seed)
      if (violations.length > 0 || (quietAfterMillis ?? 0) > slow) {
        const folder = yield* Effect.promise(() => mkdtemp(join(tmpdir(), "agents-chaos-broken-")))
        const messages = yield* stage.query(
          `select m.id, m.shard_id, m.entity_id, m.tag, m.payload, m.processed, m.last_read, m.last_reply_id, r.payload as reply
             from cluster.cluster_messages m left join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
            where m.entity_id = any($1) order by m.rowid`,
          [history.runs.map(({ execution }) => execution)]
        )
        // What stands still waits for something: which session for which, and since when.
        const sessions = yield* stage.query(
          `select a.application_name, a.pid, a.state, a.wait_event_type, a.wait_event, a.xact_start, a.query_start, a.state_change,
             pg_blocking_pids(a.pid) as blocked_by, left(a.query, 200) as query,
             exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory') as holds_shards
             from pg_stat_activity a where a.datname = current_database() order by 1, 2`
        )
        yield* Effect.promise(async () => {
          await writeFile(join(folder, "runners.log"), stage.output().slice(Math.max(0, from - 20_000)))
          await writeFile(
            join(folder, "history.json"),
            JSON.stringify({ plan, violations, history, messages, sessions }, null, 1)
          )
        })
        for (const { rule, where, what } of violations) yield* print(`       ${rule} · ${where} · ${what}`)
        yield* print(`       history and logs: ${folder}`)
      }
    }
  }).pipe(Effect.scoped)
  yield* print(
    `${count} schedules from SEED=${first}, ${lanes} fleets of ${RUNNERS} runners, message storage ${messageStorage}, step engine ${stepEngine}`
  )
  yield* Effect.all(
    Array.from({ length: lanes }, () => lane),
    { concurrency: "unbounded", discard: true }
  )
  if (seeds[0] !== undefined)
    yield* print(`the time is up: ${seeds.length} were not played, go on with FIRST=${seeds[0]}`)
  if (stepEngine !== "stock") yield* print(`${fenced} steps of runners that had lost the shard were refused`)
  yield* print(
    broken.length === 0
      ? `${played} schedules, no promise broken`
      : `${played} schedules, ${broken.length} broken: ${broken.map((seed) => `SEED=${seed}`).join(" ")}`
  )
  return broken.length === 0 ? 0 : 1
}).pipe(Effect.scoped)

process.exit(await Effect.runPromise(program))
