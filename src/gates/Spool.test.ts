import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Exit, Fiber, Stream } from "effect"
import * as Spool from "./Spool.ts"

const made = Spool.make(String)
const all = (spool: Spool.Spool<string>) => Effect.map(Stream.runCollect(spool.lines), Chunk.toReadonlyArray)

describe("lines that are kept until they are wanted", () => {
  it.scopedLive("come back as they were, however long, in their order", () =>
    Effect.gen(function* () {
      const spool = yield* made
      const lines = ["", "ä €\t\\N", "x".repeat(700_000), ...Array.from({ length: 50_000 }, (_, n) => `line ${n} ✓`)]
      yield* spool.fill(Stream.fromIterable(lines))
      expect(yield* all(spool)).toEqual(lines)
    })
  )

  it.scopedLive("are none where there are none", () =>
    Effect.gen(function* () {
      const spool = yield* made
      yield* spool.fill(Stream.empty)
      expect(yield* all(spool)).toEqual([])
    })
  )

  it.scopedLive("can be read while more come, and are all taken while nobody reads", () =>
    Effect.gen(function* () {
      const spool = yield* made
      const going = yield* Deferred.make<void>()
      const filled = yield* Effect.fork(
        spool.fill(Stream.concat(Stream.make("first"), Stream.fromEffect(Effect.as(Deferred.await(going), "second"))))
      )
      const read: Array<string> = []
      const reader = yield* Effect.fork(
        Stream.runForEach(spool.lines, (line) =>
          Effect.zipRight(
            Effect.sync(() => void read.push(line)),
            Deferred.succeed(going, undefined)
          )
        )
      )
      yield* Fiber.join(reader)
      yield* Fiber.join(filled)
      expect(read).toEqual(["first", "second"])
    })
  )

  it.scopedLive("end with the failure of what they come from", () =>
    Effect.gen(function* () {
      const spool = yield* made
      const filling = spool.fill(Stream.concat(Stream.make("first"), Stream.fail("the connection is gone")))
      expect(yield* Effect.exit(filling)).toEqual(Exit.fail("the connection is gone"))
      expect(yield* Effect.exit(all(spool))).toEqual(Exit.fail("the connection is gone"))
    })
  )
})
