import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Stream, TestClock } from "effect"
import { testDatabase } from "../../../../test/support/database.ts"
import { until } from "../../../../test/support/wait.ts"
import * as Database from "../../Database.ts"
import { isBusy, paced, pauseOf, watch } from "./Pace.ts"

describe("the gate's pace", () => {
  it("tells work by what is committed", () => {
    expect(isBusy({ at: 0, commits: 0 }, { at: 1_000, commits: 30 })).toBe(false)
    expect(isBusy({ at: 0, commits: 0 }, { at: 1_000, commits: 300 })).toBe(true)
    expect(isBusy({ at: 0, commits: 0 }, { at: 0, commits: 300 })).toBe(false)
  })

  it("is slow beside others alone, and not for ever", () => {
    expect(pauseOf(1_000, 1_000, true, 0)).toBe(500)
    expect(pauseOf(5_000, 5_000, false, 0)).toBe(0)
    expect(pauseOf(5_000, 5_000, true, 250_000)).toBe(0)
  })

  it("is less slow where it would take too long otherwise", () => {
    expect(pauseOf(1_000, 440_000, true, 0)).toBe(500)
    expect(pauseOf(1_000, 4_400_000, true, 0)).toBe(50)
  })

  it.scoped("loses no row by it", () =>
    Effect.gen(function* () {
      const rows = Array.from({ length: 20_000 }, (_, n) => n)
      const taken = yield* Effect.fork(
        Stream.runCollect(
          paced(
            Stream.fromIterable(rows),
            () => true,
            () => 0
          )
        )
      )
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.poll(taken)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("10 seconds")
      expect(Chunk.toReadonlyArray(yield* Fiber.join(taken))).toEqual(rows)
    })
  )

  it.scopedLive("sees in a database whether others work there", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const settings = yield* Database.fromUrl(database.url)
      yield* Effect.gen(function* () {
        const { session } = yield* Database.Database
        const busy = yield* watch(session)
        const work = yield* Effect.fork(Effect.forever(database.query("select 1")))
        yield* until("work is seen", Effect.sync(busy), (seen) => seen, "40 seconds")
        yield* Fiber.interrupt(work)
        yield* until("rest is seen", Effect.sync(busy), (seen) => !seen, "40 seconds")
      }).pipe(Effect.scoped, Effect.provide(Database.layer(settings)))
    })
  )
})
