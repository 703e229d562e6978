/**
 * Notices that a runner is gone.
 *
 * The library lets one runner of all check the others. When that very one is killed nobody notices, and its shards wait
 * until its row expires. So here every runner asks every other one, each second, and any of them may take a dead one off
 * the ring. Only the library's own check puts one back: two opinions on that would make a ring that flaps.
 *
 * A runner that does not answer may still live: frozen, or cut off. Off the ring it gives its shards up by itself if it can.
 * If it can't, its advisory locks would keep them for as long as its connection is believed in, so after some more silence
 * its database session is ended. When it wakes up it finds its locks gone and drops what it was doing; what it writes
 * meanwhile is written under keys that its successor has used.
 */
import { monitorEventLoopDelay } from "node:perf_hooks"
import {
  type ClusterError,
  type RunnerAddress,
  RunnerHealth,
  type RunnerStorage,
  Runners,
  ShardingConfig
} from "@effect/cluster"
import { RunnerStorage as RunnerStorageTag } from "@effect/cluster/RunnerStorage"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Clock, type Duration, Effect, Equal, Layer, Option, Schedule } from "effect"
import * as PodHealth from "./PodHealth.ts"
import type { RunnerSettings } from "./Settings.ts"
import { fence } from "./statements.ts"

const INTERVAL = "1 second"

/**
 * Silence until a runner is taken off the ring, and until its session is ended, in milliseconds. Slow is not silent: an
 * answer counts however late it comes, up to `PING_PATIENCE`. On two cores with ten times the work that they could do,
 * answers took up to 2 s; when they were awaited for 1.5 s, runners took each other off the ring, and ended sessions that
 * were in use, which cuts everything on that runner. From the end of the session to the takeover it is about 2 s, and a
 * frozen runner's work is to go on after 15.
 */
export const OFF_RING_AFTER = 4_500
export const FENCE_AFTER = 9_000
const PING_PATIENCE = "9 seconds"

/** A round adds no more silence than this, however long ago the last one was: the watcher may have been frozen itself. */
const ROUND_AT_MOST = 1_500

/** When this process's own event loop stood still for longer, it may have missed answers: its round says nothing. */
const OWN_LAG = 1_000

/** The library's check asks once, and takes a runner off the ring that does not answer in this time. */
const HEALTH_PATIENCE = "4 seconds"

/** A connection may be refused once for many reasons. Three times in half a second is a process that is not there. */
const REFUSALS = Schedule.spaced("250 millis").pipe(Schedule.intersect(Schedule.recurs(2)))

export type Answer = "alive" | "refused" | "silent"
export type Verdict = "nothing" | "off-ring" | "fence"

/** What to do about a runner after a round, and how long it has been silent then. */
export const judge = (
  silentMillis: number,
  answer: Answer | "unknown",
  roundMillis: number
): { readonly silentMillis: number; readonly verdict: Verdict } => {
  if (answer === "alive") return { silentMillis: 0, verdict: "nothing" }
  // Nothing listens there, so there is no session to end either.
  if (answer === "refused") return { silentMillis: 0, verdict: "off-ring" }
  if (answer === "unknown") return { silentMillis, verdict: "nothing" }
  const now = silentMillis + Math.min(roundMillis, ROUND_AT_MOST)
  const crosses = (limit: number) => silentMillis < limit && now >= limit
  return {
    silentMillis: now,
    verdict: crosses(FENCE_AFTER) ? "fence" : crosses(OFF_RING_AFTER) ? "off-ring" : "nothing"
  }
}

const asking = Effect.map(
  Runners.Runners,
  (runners) =>
    (address: RunnerAddress.RunnerAddress, patience: Duration.DurationInput): Effect.Effect<Answer> =>
      runners.ping(address).pipe(
        Effect.timeout(patience),
        Effect.retry({ schedule: REFUSALS, while: ({ _tag }) => _tag === "RunnerUnavailable" }),
        Effect.match({
          onSuccess: () => "alive" as const,
          onFailure: ({ _tag }) => (_tag === "TimeoutException" ? ("silent" as const) : ("refused" as const))
        })
      )
)

/**
 * For the library's check: asks the runner itself. A no-op here would leave the shards of a dead runner to the expiration.
 *
 * Where Kubernetes is asked as well it can only say "dead": a pod that is there may still hold a frozen runner, and to put that back on the
 * ring while the watch below takes it off would make a ring that flaps.
 */
export const health = (
  settings: RunnerSettings["runnerHealth"]
): Layer.Layer<RunnerHealth.RunnerHealth, never, Runners.Runners> =>
  Layer.scoped(
    RunnerHealth.RunnerHealth,
    Effect.gen(function* () {
      const ask = yield* asking
      const pods = settings === "ping" ? undefined : yield* PodHealth.watch(settings)
      return {
        isAlive: (address) =>
          Effect.suspend(() =>
            pods?.isAlive(address.host) === false
              ? Effect.succeed(false)
              : Effect.map(ask(address, HEALTH_PATIENCE), (answer) => answer === "alive")
          )
      }
    })
  )

/** Under which name a runner's sessions are seen in `pg_stat_activity`, which keeps 63 characters. The pod's name is first. */
export const applicationName = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `${host}:${port}`.slice(0, 63)

/** What is known of another runner, on the ring or silent. */
interface Watched {
  readonly address: RunnerAddress.RunnerAddress
  /** Asked at least once: before that, silence means nothing. */
  asked: boolean
  answered: boolean
  silentMillis: number
}

/** The longest that this process's event loop stood still since the last call, in milliseconds. */
const ownLag = Effect.acquireRelease(
  Effect.sync(() => {
    const histogram = monitorEventLoopDelay({ resolution: 20 })
    histogram.enable()
    return histogram
  }),
  (histogram) => Effect.sync(() => histogram.disable())
).pipe(
  Effect.map((histogram) => () => {
    const longest = histogram.max / 1e6
    histogram.reset()
    return longest
  })
)

const make = Effect.gen(function* () {
  const storage = yield* RunnerStorageTag
  const { runnerAddress } = yield* ShardingConfig.ShardingConfig
  const sql = yield* SqlClient
  const ask = yield* asking
  const lag = yield* ownLag
  const scope = yield* Effect.scope
  const watched = new Map<string, Watched>()
  let lastRound = yield* Clock.currentTimeMillis

  const carryOut = (
    address: RunnerAddress.RunnerAddress,
    verdict: Verdict
  ): Effect.Effect<void, ClusterError.PersistenceError | SqlError> => {
    switch (verdict) {
      case "nothing":
        return Effect.void
      case "off-ring":
        return Effect.zipRight(
          Effect.logWarning("Runner does not answer: taking it off the ring"),
          storage.setRunnerHealth(address, false)
        )
      case "fence":
        return fence.run(applicationName(address)).pipe(
          Effect.provideService(SqlClient, sql),
          Effect.flatMap(([row]) => Effect.logWarning(`Runner stays silent: ended ${row?.ended ?? 0} of its sessions`))
        )
    }
  }

  /** Asks without waiting: the next rounds see the answer. A refusal is acted on as soon as it is certain. */
  const ping = (runner: Watched) =>
    ask(runner.address, PING_PATIENCE).pipe(
      Effect.flatMap((answer) => {
        if (answer === "alive") runner.answered = true
        if (answer !== "refused") return Effect.void
        watched.delete(applicationName(runner.address))
        return carryOut(runner.address, judge(runner.silentMillis, answer, 0).verdict)
      }),
      Effect.catchAllCause((cause) => Effect.logDebug("Could not act on a runner that is gone", cause)),
      Effect.annotateLogs("about", applicationName(runner.address)),
      Effect.forkIn(scope)
    )

  const look = (runner: Watched, roundMillis: number, late: boolean) =>
    Effect.gen(function* () {
      const answer = runner.answered ? "alive" : runner.asked && !late ? "silent" : "unknown"
      const { silentMillis, verdict } = judge(runner.silentMillis, answer, roundMillis)
      runner.silentMillis = silentMillis
      runner.answered = false
      runner.asked = true
      // Only whether it is on the ring brings it back here.
      if (silentMillis >= FENCE_AFTER) watched.delete(applicationName(runner.address))
      yield* ping(runner)
      yield* carryOut(runner.address, verdict).pipe(Effect.annotateLogs("about", applicationName(runner.address)))
    })

  return Effect.gen(function* () {
    const listed = yield* storage.getRunners
    for (const [{ address }, healthy] of listed) {
      const key = applicationName(address)
      if (!healthy || watched.has(key) || Equal.equals(Option.some(address), runnerAddress)) continue
      watched.set(key, { address, asked: false, answered: false, silentMillis: 0 })
    }
    // One that left, and was not silent, has no row or is not healthy any more.
    const onRing = new Set(listed.flatMap(([{ address }, healthy]) => (healthy ? [applicationName(address)] : [])))
    for (const [key, { silentMillis }] of watched) {
      if (silentMillis === 0 && !onRing.has(key)) watched.delete(key)
    }
    const now = yield* Clock.currentTimeMillis
    const roundMillis = now - lastRound
    lastRound = now
    const late = lag() > OWN_LAG
    yield* Effect.forEach([...watched.values()], (runner) => look(runner, roundMillis, late), {
      concurrency: "unbounded",
      discard: true
    })
  })
})

/** Watches for as long as the layer lives. */
export const layer: Layer.Layer<
  never,
  never,
  Runners.Runners | RunnerStorage.RunnerStorage | ShardingConfig.ShardingConfig | SqlClient
> = Layer.scopedDiscard(
  Effect.flatMap(make, (round) =>
    round.pipe(
      Effect.catchAllCause((cause) => Effect.logDebug("Could not watch the other runners", cause)),
      Effect.repeat(Schedule.spaced(INTERVAL)),
      Effect.forkScoped
    )
  )
)
