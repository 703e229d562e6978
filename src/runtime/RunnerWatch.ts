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
import { Effect, Equal, Layer, Option, Schedule } from "effect"
import { fence } from "./statements.ts"

const INTERVAL = "1 second"
/** A killed runner refuses the connection at once. A frozen one, or one on a lost node, does not answer. */
const PING_TIMEOUT = "1500 millis"
/** A connection may be refused once for many reasons. Three times in half a second is a process that is not there. */
const REFUSALS = Schedule.spaced("250 millis").pipe(Schedule.intersect(Schedule.recurs(2)))

/**
 * Silent rounds, of 2.5 s each, until a runner is taken off the ring, and until its session is ended. Rounds and not times:
 * a runner that was frozen itself must not find, when it wakes up, that everybody has been silent for long. On two cores with
 * ten times the work they could do, answers took up to 2 s; ending a session that is in use cuts everything on that runner.
 */
export const OFF_RING_AFTER = 2
export const FENCE_AFTER = 4

export type Answer = "alive" | "refused" | "silent"
export type Verdict = "nothing" | "off-ring" | "fence"

/** What to do about a runner after its latest answer, and how many rounds in a row it has been silent. */
export const judge = (
  silentRounds: number,
  answer: Answer
): { readonly silentRounds: number; readonly verdict: Verdict } => {
  if (answer === "alive") return { silentRounds: 0, verdict: "nothing" }
  // Nothing listens there, so there is no session to end either.
  if (answer === "refused") return { silentRounds: 0, verdict: "off-ring" }
  const rounds = silentRounds + 1
  return {
    silentRounds: rounds,
    verdict: rounds === FENCE_AFTER ? "fence" : rounds === OFF_RING_AFTER ? "off-ring" : "nothing"
  }
}

const asking = Effect.map(
  Runners.Runners,
  (runners) =>
    (address: RunnerAddress.RunnerAddress): Effect.Effect<Answer> =>
      runners.ping(address).pipe(
        Effect.timeout(PING_TIMEOUT),
        Effect.retry({ schedule: REFUSALS, while: ({ _tag }) => _tag === "RunnerUnavailable" }),
        Effect.match({
          onSuccess: () => "alive" as const,
          onFailure: ({ _tag }) => (_tag === "TimeoutException" ? ("silent" as const) : ("refused" as const))
        })
      )
)

/**
 * For the library's check: asks the runner itself. A no-op here would leave the shards of a dead runner to the expiration.
 */
export const health: Layer.Layer<RunnerHealth.RunnerHealth, never, Runners.Runners> = Layer.effect(
  RunnerHealth.RunnerHealth,
  Effect.map(asking, (ask) => ({ isAlive: (address) => Effect.map(ask(address), (answer) => answer === "alive") }))
)

/** Under which name a runner's sessions are seen in `pg_stat_activity`, which keeps 63 characters. The pod's name is first. */
export const applicationName = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `${host}:${port}`.slice(0, 63)

const make = Effect.gen(function* () {
  const storage = yield* RunnerStorageTag
  const { runnerAddress } = yield* ShardingConfig.ShardingConfig
  const sql = yield* SqlClient
  const ask = yield* asking
  /** Silent rounds in a row of each runner that does not answer, be it on the ring or not. */
  const silent = new Map<string, { readonly address: RunnerAddress.RunnerAddress; readonly rounds: number }>()

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

  const look = (address: RunnerAddress.RunnerAddress) =>
    Effect.gen(function* () {
      const key = applicationName(address)
      const answer = yield* ask(address)
      const { silentRounds, verdict } = judge(silent.get(key)?.rounds ?? 0, answer)
      if (silentRounds === 0 || silentRounds > FENCE_AFTER) silent.delete(key)
      else silent.set(key, { address, rounds: silentRounds })
      yield* carryOut(address, verdict).pipe(Effect.annotateLogs("about", key))
    })

  return Effect.gen(function* () {
    const listed = yield* storage.getRunners
    const onRing = listed.flatMap(([{ address }, healthy]) => (healthy ? [address] : []))
    const known = new Map(
      [...onRing, ...[...silent.values()].map(({ address }) => address)].map((a) => [applicationName(a), a])
    )
    const others = [...known.values()].filter((address) => !Equal.equals(Option.some(address), runnerAddress))
    yield* Effect.forEach(others, look, { concurrency: "unbounded", discard: true })
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
