/** A few of the schedules of `make test-chaos`, with every kind of fault between them. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { fleet } from "../chaos/Fleet.ts"
import { check } from "../chaos/History.ts"
import { play } from "../chaos/Play.ts"
import { scenario } from "../chaos/Scenario.ts"
import { testImage } from "../support/image.ts"

const RUNNERS = 3
/** Every kind of fault is in one of them. All at once: what one does happens to the others. */
const SEEDS = [3, 305, 863]

it.scopedLive(
  "loses nothing and doubles nothing when runners are killed, frozen, rolled and cut from a database that restarts",
  () =>
    Effect.gen(function* () {
      const stage = yield* fleet({ image: yield* testImage(), runners: RUNNERS })
      const played = yield* Effect.forEach(SEEDS, (seed) => play(stage, scenario(seed, RUNNERS)), {
        concurrency: "unbounded"
      })
      for (const { history, neverReady } of played) {
        expect(check(history)).toEqual([])
        expect(neverReady).toEqual([])
        expect(history.asked.some(({ acknowledged }) => acknowledged)).toBe(true)
      }
    }),
  240_000
)
