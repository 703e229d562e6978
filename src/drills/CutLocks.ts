/**
 * `cut-locks`: the database session with which a runner holds its shards is ended, as a failover of the database or a firewall
 * would end it. The runner lives; it must take its shards again or give its work away, and do nothing twice.
 */
import { Clock, Effect, Option, Schedule } from "effect"
import type { Drill, Journal } from "./Drill.ts"
import { recorder, runsOf, seenRunning, unfinishedWithin } from "./DrillRuns.ts"

const RUNS = 6
/** Long enough that the session ends in the middle, short against the recovery. */
const MESSAGE = "tokens:40 slow:100 tool:wait=300 tell me what a runner does that lost its locks"
const RECOVERY_LIMIT_MS = 40_000

const HYPOTHESIS = `${RUNS} accepted runs all end within ${RECOVERY_LIMIT_MS / 1000} s of the end of their runner's lock session, each event once`

export const CutLocks: Drill = {
  name: "cut-locks",
  summary: "end the database session with which a runner holds its shards, in the middle of its runs",
  hypothesis: HYPOTHESIS,
  run: ({ gateway, locks, invariant, log }, { replacementLimit = "10 seconds" } = {}) =>
    Effect.gen(function* () {
      const started = yield* Clock.currentTimeMillis
      const prefix = `drill-locks-${crypto.randomUUID().slice(0, 8)}`
      const { method, record } = recorder(log)

      const before = yield* invariant(prefix)
      const runs = runsOf(prefix, RUNS, MESSAGE)
      yield* record(`start ${RUNS} runs`, "action", Effect.forEach(runs, gateway.startRun, { concurrency: RUNS }))
      const hit = yield* seenRunning(gateway, runs, "no session to end")
      const victim = hit.runner ?? ""
      const sessions = yield* locks.sessions(victim)
      yield* record(`end the lock session of ${victim}`, "action", locks.end(sessions))
      const cutAt = yield* Clock.currentTimeMillis
      const sinceCut = Effect.map(Clock.currentTimeMillis, (now) => now - cutAt)
      const gone = yield* locks.alive(sessions).pipe(
        Effect.filterOrFail((alive) => alive.length === 0),
        Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo(replacementLimit))),
        Effect.option
      )
      const happened = sessions.length > 0 && Option.isSome(gone)

      const unfinished = yield* unfinishedWithin(gateway, runs, RECOVERY_LIMIT_MS)
      const recoveryMs = yield* sinceCut
      const after = yield* invariant(prefix)
      const held = after.executionsLost === 0 && after.eventsDoubled === 0 && after.runs === RUNS && unfinished === 0
      return {
        drill: "cut-locks",
        hypothesis: HYPOTHESIS,
        status: !happened ? "no-fault" : held ? "completed" : "deviated",
        steadyState: { before, after },
        method,
        fault: happened ? `sessions ${sessions.join(", ")} of ${victim} held shards and are gone` : null,
        takeoverMs: null,
        recoveryMs: unfinished === 0 ? recoveryMs : null,
        startedAt: new Date(started).toISOString(),
        durationMs: (yield* Clock.currentTimeMillis) - started
      } satisfies Journal
    })
}
