import { RunnerAddress, ShardId } from "@effect/cluster"
import { expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import * as ClusterStorage from "./ClusterStorage.ts"

const one = ShardId.make("default", 1)
const two = ShardId.make("default", 2)

/** The second shard is another's until it was asked for so often. */
const stage = (freeAfter: number) => {
  let asked = 0
  const acquire = ClusterStorage.askedAgain(() => Effect.sync(() => (++asked > freeAfter ? [one, two] : [one])))
  return { acquire: acquire(RunnerAddress.make("here", 1), [one, two]), asked: () => asked }
}

it.effect("asks again for a shard that is just being given up, and no more once all are there", () =>
  Effect.gen(function* () {
    const { acquire, asked } = stage(2)
    const acquiring = yield* Effect.fork(acquire)
    yield* TestClock.adjust("200 millis")
    expect(yield* Fiber.join(acquiring)).toEqual([one, two])
    expect(asked()).toBe(3)
  })
)

it.effect("leaves a shard that is kept for longer to the next turn, with those that it has", () =>
  Effect.gen(function* () {
    const { acquire, asked } = stage(1_000)
    const acquiring = yield* Effect.fork(acquire)
    yield* TestClock.adjust("500 millis")
    expect(yield* Fiber.join(acquiring)).toEqual([one])
    expect(asked()).toBe(6)
  })
)
