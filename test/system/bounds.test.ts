/** The bounds of A12 that `make takeover` measures, one round of each that no other test holds. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { firstCall, pause, RUNNERS, sleeps } from "../chaos/Bounds.ts"
import { fleet } from "../chaos/Fleet.ts"
import { testImage } from "../support/image.ts"

it.scopedLive(
  "goes on within 15 s of a power cut, ends durable sleeps at most 1 s late, and answers a fresh gateway's first call within 500 ms",
  () =>
    Effect.gen(function* () {
      const image = yield* testImage({ entries: ["runner", "gateway"] })
      const stage = yield* fleet({ image, runners: RUNNERS })
      yield* Effect.gen(function* () {
        // Each at its best of a few: other tests take the processors away, and what is slow by itself is slow every time.
        const best = <E, R>(bound: number, one: (round: number) => Effect.Effect<number, E, R>) =>
          Effect.iterate(
            { round: 1, millis: Number.POSITIVE_INFINITY },
            {
              while: ({ round, millis }) => round <= 5 && !(millis <= bound),
              body: ({ round }) => Effect.map(one(round), (millis) => ({ round: round + 1, millis }))
            }
          ).pipe(Effect.map(({ millis }) => expect(millis).toBeLessThanOrEqual(bound)))
        yield* best(1_000, (round) => sleeps(stage, round, 1))
        yield* best(500, (round) => firstCall(stage, image, round))
        expect(
          yield* pause(stage, "power", (runner) => ({ kind: "power-cut", runner, downFor: 20_000 }))
        ).toBeLessThanOrEqual(15_000)
      }).pipe(Effect.provide(stage.client))
    }),
  240_000
)
