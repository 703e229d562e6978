/**
 * `cut-locks`: the database session with which a runner holds its shards is ended, as a failover of the database or a firewall
 * would end it. The runner lives; it must take its shards again or give its work away, and do nothing twice.
 */
import { Clock, Duration, Effect, Option, Schedule } from "effect"
import { type Activity, type Drill, DrillAborted, type Journal } from "./Drill.ts"

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
      const method: Array<Activity> = []
      const record = <A, E>(name: string, type: Activity["type"], effect: Effect.Effect<A, E>) =>
        Effect.gen(function* () {
          const [duration, output] = yield* Effect.timed(effect)
          method.push({ name, type, status: "succeeded", output, durationMs: Math.round(Duration.toMillis(duration)) })
          yield* log(`${name}: done`)
          return output
        })

      const before = yield* invariant(prefix)
      const runs = Array.from({ length: RUNS }, (_, index) => ({
        sessionId: `${prefix}-${index}`,
        runId: `${prefix}-${index}`,
        message: MESSAGE
      }))
      yield* record(`start ${RUNS} runs`, "action", Effect.forEach(runs, gateway.startRun, { concurrency: RUNS }))
      const hit = yield* Effect.forEach(runs, ({ runId }) => gateway.written(runId), { concurrency: RUNS }).pipe(
        Effect.map((written) => runs[written.findIndex((events) => events > 2)]),
        Effect.filterOrFail((run) => run !== undefined),
        Effect.flatMap(({ runId }) => gateway.status(runId)),
        Effect.filterOrFail((state) => state.status === "accepted" && state.runner !== null),
        Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("10 seconds"))),
        Effect.mapError(
          () =>
            new DrillAborted({
              message: "None of the drill's runs was seen running on a runner, so there was no session to end."
            })
        )
      )
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

      const unfinished = yield* Effect.forEach(
        runs,
        ({ runId }) => Effect.either(gateway.waitFor(runId, "completed", RECOVERY_LIMIT_MS)),
        { concurrency: RUNS }
      ).pipe(Effect.map((results) => results.filter(({ _tag }) => _tag === "Left").length))
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
