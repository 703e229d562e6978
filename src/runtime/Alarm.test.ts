import { expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as Alarm from "./Alarm.ts"

const stage = Effect.gen(function* () {
  const alarm = yield* Alarm.make
  let rung = 0
  yield* alarm.due.pipe(Effect.andThen(Effect.sync(() => rung++)), Effect.forever, Effect.forkScoped)
  return { alarm, rung: () => rung }
})

it.scoped(
  "rings when a time has come, earlier ones that are set later included, and once for those close together",
  () =>
    Effect.gen(function* () {
      const { alarm, rung } = yield* stage
      alarm.set(90_000)
      yield* TestClock.adjust("1 second")
      alarm.set(3_000)
      alarm.set(2_990)
      expect(rung()).toBe(0)
      yield* TestClock.adjust("1999 millis")
      expect(rung()).toBe(0)
      yield* TestClock.adjust("1 millis")
      expect(rung()).toBe(1)
      yield* TestClock.adjust("86999 millis")
      expect(rung()).toBe(1)
      yield* TestClock.adjust("1 millis")
      expect(rung()).toBe(2)
    })
)

it.scoped("rings at once for a time that has passed, and knows the nearest of more than it can hold", () =>
  Effect.gen(function* () {
    const { alarm, rung } = yield* stage
    yield* TestClock.adjust("1 second")
    for (let second = 20_000; second > 10; second--) alarm.set(second * 1_000)
    alarm.set(500)
    yield* TestClock.adjust("0 millis")
    expect(rung()).toBe(1)
    yield* TestClock.adjust("10 seconds")
    expect(rung()).toBe(2)
  })
)
