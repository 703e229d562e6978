/**
 * Notices that a runner is gone.
 *
 * The library lets one runner of all check the others. When that very one is killed nobody notices, and its shards wait
 * until its row expires. So here every runner asks every other one, each second, and any of them may take a dead one off
 * the ring. Only the library's own check puts one back: two opinions on that would make a ring that flaps.
 */
import { RunnerHealth, type RunnerStorage, Runners, ShardingConfig } from "@effect/cluster"
import { RunnerStorage as RunnerStorageTag } from "@effect/cluster/RunnerStorage"
import { Effect, Equal, Layer, Option, Schedule } from "effect"

const INTERVAL = "1 second"
/** A killed runner refuses the connection at once. A frozen one, or one on a lost node, does not answer. */
const PING_TIMEOUT = "1500 millis"
/** A garbage collection or a busy second is no death: 3 × 1.5 s + pauses until a silent runner is given up. */
const RETRY = Schedule.spaced("250 millis").pipe(Schedule.intersect(Schedule.recurs(2)))

const make = Effect.gen(function* () {
  const runners = yield* Runners.Runners
  return RunnerHealth.RunnerHealth.of({
    isAlive: (address) =>
      runners.ping(address).pipe(Effect.timeout(PING_TIMEOUT), Effect.retry(RETRY), Effect.isSuccess)
  })
})

/** Asks the runner itself. A no-op here would leave the shards of a dead runner to the expiration alone. */
export const health: Layer.Layer<RunnerHealth.RunnerHealth, never, Runners.Runners> = Layer.effect(
  RunnerHealth.RunnerHealth,
  make
)

/** Watches for as long as the layer lives. */
export const layer: Layer.Layer<
  never,
  never,
  Runners.Runners | RunnerStorage.RunnerStorage | ShardingConfig.ShardingConfig
> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const storage = yield* RunnerStorageTag
    const { runnerAddress } = yield* ShardingConfig.ShardingConfig
    const { isAlive } = yield* make
    const round = Effect.gen(function* () {
      const listed = yield* storage.getRunners
      // The last one on the ring stays there: nobody could take its shards.
      const others = listed.filter(([runner]) => !Equal.equals(Option.some(runner.address), runnerAddress))
      yield* Effect.forEach(
        others.filter(([, healthy]) => healthy),
        ([{ address }]) =>
          Effect.gen(function* () {
            if (yield* isAlive(address)) return
            yield* Effect.logWarning("Runner does not answer: taking it off the ring").pipe(
              Effect.annotateLogs("runner", `${address.host}:${address.port}`)
            )
            yield* storage.setRunnerHealth(address, false)
          }),
        { concurrency: "unbounded", discard: true }
      )
    })
    yield* round.pipe(
      Effect.catchAllCause((cause) => Effect.logDebug("Could not watch the other runners", cause)),
      Effect.repeat(Schedule.spaced(INTERVAL)),
      Effect.forkScoped
    )
  })
)
