import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as Batcher from "./Batcher.ts"

type Failure = "row" | "away" | "refused"

/** Each trip waits until it is let go, and fails when it holds "bad". */
const stage = (options: Partial<Batcher.Options<string, string, Failure>> = {}) => {
  const trips: Array<ReadonlyArray<string>> = []
  const gates: Array<Deferred.Deferred<void>> = []
  const batcher = Batcher.make<string, string, Failure>({
    inFlight: 2,
    maxRows: 100,
    maxBytes: 1_000,
    maxQueued: 1_000,
    bytes: (row) => row.length,
    exclusive: () => undefined,
    isRowsFault: (error) => error === "row",
    refused: () => "refused",
    trip: (rows) =>
      Effect.gen(function* () {
        trips.push(rows)
        const gate = yield* Deferred.make<void>()
        gates.push(gate)
        yield* Deferred.await(gate)
        if (rows.includes("away")) return yield* Effect.fail("away" as const)
        if (rows.includes("bad")) return yield* Effect.fail("row" as const)
        return rows.map((row) => Exit.succeed(row.toUpperCase()))
      }),
    ...options
  })
  const turn = Effect.promise(() => new Promise<void>((resume) => setImmediate(() => setImmediate(resume))))
  const letGo = Effect.suspend(() => Deferred.succeed(gates.shift()!, undefined)).pipe(Effect.andThen(turn))
  const letAllGo = Effect.iterate(0, { while: () => gates.length > 0, body: () => Effect.as(letGo, 0) })
  const send = (...rows: ReadonlyArray<string>) =>
    Effect.forEach(rows, (row) => Effect.fork(Effect.exit(batcher.submit(row)))).pipe(Effect.tap(() => turn))
  return { batcher, trips, send, letGo, letAllGo }
}

const answers = (fibers: ReadonlyArray<Fiber.Fiber<Exit.Exit<string, Failure>>>) =>
  Effect.map(Fiber.joinAll(fibers), (exits) =>
    exits.map((exit) => (Exit.isSuccess(exit) ? exit.value : `! ${exit.cause._tag === "Fail" ? exit.cause.error : ""}`))
  )

describe("Batcher", () => {
  it.live("sends together what comes in one turn, and then what came while two trips were under way", () =>
    Effect.gen(function* () {
      const { send, trips, letGo, letAllGo } = stage()
      const fibers = [...(yield* send("a", "b")), ...(yield* send("c")), ...(yield* send("d")), ...(yield* send("e"))]
      expect(trips).toEqual([["a", "b"], ["c"]])
      expect(fibers.map((fiber) => fiber.unsafePoll())).toEqual(fibers.map(() => null))
      yield* letGo
      expect(trips[2]).toEqual(["d", "e"])
      yield* letAllGo
      expect(yield* answers(fibers)).toEqual(["A", "B", "C", "D", "E"])
    })
  )

  it.live("lets the row fail that is to blame, and no other", () =>
    Effect.gen(function* () {
      const { send, letAllGo } = stage()
      const fibers = yield* send("a", "b", "bad", "c", "d")
      yield* letAllGo
      expect(yield* answers(fibers)).toEqual(["A", "B", "! row", "C", "D"])
    })
  )

  it.live("tells every row of a trip that the database was away, without trying them one by one", () =>
    Effect.gen(function* () {
      const { send, letAllGo, trips } = stage()
      const fibers = yield* send("a", "away", "b")
      yield* letAllGo
      expect(yield* answers(fibers)).toEqual(["! away", "! away", "! away"])
      expect(trips.length).toBe(1)
    })
  )

  it.live("keeps rows that exclude each other apart and in order", () =>
    Effect.gen(function* () {
      const { send, letGo, trips, letAllGo } = stage({ exclusive: (row) => row[0] })
      const fibers = yield* send("a1", "a2", "b1", "a3")
      expect(trips).toEqual([["a1", "b1"]])
      yield* letGo
      expect(trips[1]).toEqual(["a2"])
      yield* letAllGo
      expect(trips[2]).toEqual(["a3"])
      expect(yield* answers(fibers)).toEqual(["A1", "A2", "B1", "A3"])
    })
  )

  it.live("bounds a trip by rows and by bytes, and the queue by rows", () =>
    Effect.gen(function* () {
      const byRows = stage({ maxRows: 2, maxQueued: 5, inFlight: 1 })
      const fibers = yield* byRows.send("a", "b", "c", "d", "e", "f")
      expect(byRows.trips).toEqual([["a", "b"]])
      yield* byRows.letAllGo
      expect(yield* answers(fibers)).toEqual(["A", "B", "C", "D", "E", "! refused"])
      const byBytes = stage({ maxBytes: 4, inFlight: 1 })
      yield* byBytes.send("aaa", "bbb", "ccc")
      expect(byBytes.trips).toEqual([["aaa", "bbb"]])
    })
  )

  it.live("does not send a row whose fiber left before the trip", () =>
    Effect.gen(function* () {
      const { send, letAllGo, trips } = stage({ inFlight: 1 })
      yield* send("a")
      const [left, stayed] = yield* send("b", "c")
      yield* Fiber.interrupt(left!)
      yield* letAllGo
      expect(yield* answers([stayed!])).toEqual(["C"])
      expect(trips).toEqual([["a"], ["c"]])
    })
  )

  it.live("takes nothing more when it is closed, and waits for what it took", () =>
    Effect.gen(function* () {
      const { batcher, send, letAllGo } = stage({ inFlight: 1 })
      const fibers = [...(yield* send("a")), ...(yield* send("b"))]
      const closing = yield* Effect.fork(batcher.close)
      const late = yield* send("c")
      expect(closing.unsafePoll()).toBe(null)
      yield* letAllGo
      yield* Fiber.join(closing)
      expect(yield* answers([...fibers, ...late])).toEqual(["A", "B", "! refused"])
    })
  )
})
