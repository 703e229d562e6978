import { expect, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { keeps } from "./bounds.ts"

const measuring = (figures: ReadonlyArray<number>) => {
  const asked: Array<number> = []
  return {
    asked,
    run: keeps({ takeover: 100 }, (round) =>
      Effect.sync(() => {
        asked.push(round)
        return { takeover: figures[round - 1] ?? Number.NaN }
      })
    )
  }
}

it.effect("takes one round that keeps the bound, and measures no further", () =>
  Effect.gen(function* () {
    const { asked, run } = measuring([400, 100, 400])
    yield* run
    expect(asked).toEqual([1, 2])
  })
)

it.effect("fails when three rounds miss it, or say nothing", () =>
  Effect.gen(function* () {
    for (const figures of [[101, 400, 200], []]) {
      const { asked, run } = measuring(figures)
      expect(Exit.isFailure(yield* Effect.exit(run))).toBe(true)
      expect(asked).toEqual([1, 2, 3])
    }
  })
)
