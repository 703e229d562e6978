/** What every drill on runs does around its fault: starts runs, finds who works on one, waits for their ends, keeps a method. */
import { Duration, Effect, Schedule } from "effect"
import { type Activity, DrillAborted, type Surroundings } from "./Drill.ts"

type Gateway = Surroundings["gateway"]

export interface DrillRun {
  readonly sessionId: string
  readonly runId: string
  readonly message: string
}

/** `count` runs, each in a session of its own, named after the prefix. */
export const runsOf = (prefix: string, count: number, message: string): ReadonlyArray<DrillRun> =>
  Array.from({ length: count }, (_, index) => ({
    sessionId: `${prefix}-${index}`,
    runId: `${prefix}-${index}`,
    message
  }))

/** The journal's method, and the way to add to it. */
export const recorder = (log: Surroundings["log"]) => {
  const method: Array<Activity> = []
  const record = <A, E, R>(name: string, type: Activity["type"], effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const [duration, output] = yield* Effect.timed(effect)
      method.push({ name, type, status: "succeeded", output, durationMs: Math.round(Duration.toMillis(duration)) })
      yield* log(`${name}: done`)
      return output
    })
  return { method, record }
}

/**
 * The state of one of the runs whose answer is being written right now. (A session and its runs may live on different runners,
 * so who accepted a run says nothing.) Aborts when none is seen within 10 s; `so` says what could then not be done.
 */
export const seenRunning = (gateway: Gateway, runs: ReadonlyArray<DrillRun>, so: string) =>
  Effect.forEach(runs, ({ runId }) => gateway.written(runId), { concurrency: runs.length }).pipe(
    Effect.map((written) => runs[written.findIndex((events) => events > 2)]),
    Effect.filterOrFail((run) => run !== undefined),
    Effect.flatMap(({ runId }) => gateway.status(runId)),
    Effect.filterOrFail((state) => state.status === "accepted" && state.runner !== null),
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("10 seconds"))),
    Effect.mapError(
      () => new DrillAborted({ message: `None of the drill's runs was seen running on a runner, so there was ${so}.` })
    )
  )

/** How many of the runs have not completed within the limit. */
export const unfinishedWithin = (gateway: Gateway, runs: ReadonlyArray<DrillRun>, limitMs: number) =>
  Effect.forEach(runs, ({ runId }) => Effect.either(gateway.waitFor(runId, "completed", limitMs)), {
    concurrency: runs.length
  }).pipe(Effect.map((results) => results.filter(({ _tag }) => _tag === "Left").length))
