/** `kill-runner`: the owner of running work gets SIGKILL; another runner takes its work over. */
import { Clock, Effect, Fiber, Option, Schedule } from "effect"
import type { Drill, Journal } from "./Drill.ts"
import { recorder, runsOf, seenRunning, unfinishedWithin } from "./DrillRuns.ts"
import type { PodInstance } from "./KubernetesApi.ts"

const RUNS = 6
/** Long enough that the kill comes in the middle, short against the recovery. */
const MESSAGE = "tokens:40 slow:100 tell me what a runner does when its neighbour dies"
const RECOVERY_LIMIT_MS = 30_000
/** The work must go on within this time, on whichever runner. */
const TAKEOVER_LIMIT_MS = 5_000

const HYPOTHESIS =
  `the work goes on within ${TAKEOVER_LIMIT_MS / 1000} s of its runner's death, and ` +
  `${RUNS} accepted runs all end within ${RECOVERY_LIMIT_MS / 1000} s, each event once`

const instanceOf = (pods: ReadonlyArray<PodInstance>, name: string) => pods.find((pod) => pod.name === name)?.instance

export const KillRunner: Drill = {
  name: "kill-runner",
  summary: "SIGKILL to a runner in the middle of its runs",
  hypothesis: HYPOTHESIS,
  run: ({ gateway, kubernetes, invariant, log }, { replacementLimit = "30 seconds" } = {}) =>
    Effect.gen(function* () {
      const started = yield* Clock.currentTimeMillis
      const prefix = `drill-kill-${crypto.randomUUID().slice(0, 8)}`
      const { method, record } = recorder(log)

      const before = yield* invariant(prefix)
      const runs = runsOf(prefix, RUNS, MESSAGE)
      yield* record(`start ${RUNS} runs`, "action", Effect.forEach(runs, gateway.startRun, { concurrency: RUNS }))
      const hit = yield* seenRunning(gateway, runs, "nobody to kill")
      const victim = hit.runner ?? ""
      const instanceBefore = instanceOf(yield* kubernetes.pods, victim)
      yield* record(`kill ${victim}`, "action", kubernetes.deletePod(victim, 0))
      const killedAt = yield* Clock.currentTimeMillis
      const sinceKill = Effect.map(Clock.currentTimeMillis, (now) => now - killedAt)

      // Whoever goes on with it, another runner or the victim's own successor under the same name: the next event counts.
      const atDeath = yield* gateway.written(hit.runId)
      const takeover = yield* gateway.written(hit.runId).pipe(
        Effect.filterOrFail((events) => events > atDeath),
        Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo(RECOVERY_LIMIT_MS))),
        Effect.andThen(sinceKill),
        Effect.option,
        Effect.fork
      )
      const unfinished = yield* unfinishedWithin(gateway, runs, RECOVERY_LIMIT_MS)
      const recoveryMs = yield* sinceKill
      const takeoverMs = Option.getOrNull(yield* Fiber.join(takeover))

      const podsAfter = yield* kubernetes.pods.pipe(
        Effect.repeat({
          until: (pods) => instanceOf(pods, victim) !== undefined && instanceOf(pods, victim) !== instanceBefore,
          schedule: Schedule.spaced("100 millis").pipe(Schedule.upTo(replacementLimit))
        }),
        Effect.andThen(kubernetes.pods)
      )
      const instanceAfter = instanceOf(podsAfter, victim)
      const happened = instanceAfter !== undefined && instanceBefore !== undefined && instanceAfter !== instanceBefore
      const after = yield* invariant(prefix)
      const held =
        after.executionsLost === 0 &&
        after.eventsDoubled === 0 &&
        after.runs === RUNS &&
        unfinished === 0 &&
        takeoverMs !== null &&
        takeoverMs <= TAKEOVER_LIMIT_MS
      return {
        drill: "kill-runner",
        hypothesis: HYPOTHESIS,
        status: !happened ? "no-fault" : held ? "completed" : "deviated",
        steadyState: { before, after },
        method,
        fault: happened ? `${victim} was instance ${instanceBefore} and is ${instanceAfter} now` : null,
        takeoverMs,
        recoveryMs: unfinished === 0 ? recoveryMs : null,
        startedAt: new Date(started).toISOString(),
        durationMs: (yield* Clock.currentTimeMillis) - started
      } satisfies Journal
    })
}
