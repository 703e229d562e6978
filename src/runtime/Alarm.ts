/**
 * Reads the messages of this runner when a durable sleep ends.
 *
 * A sleep is a message with a time of delivery, and the library finds it due at its next poll: up to half a second late, before
 * the execution is replayed at all. The runner that stores the message is the one that owns the execution, so it knows the time
 * and needs no query to learn it. After a takeover the poll remains.
 */
import { DeliverAt, MessageStorage, Sharding } from "@effect/cluster"
import { Clock, Context, Effect, Layer } from "effect"

/** Of how many times a runner knows at once; those beyond are left to the poll. */
const MOST = 10_000

/** Times this close together share a reading, in milliseconds. */
const GRAIN = 20

/** How long the timer sleeps at most: one of the system's can't be set further ahead than 24 days. */
const AT_MOST = 60_000

export class Alarm extends Context.Tag("runtime/Alarm")<
  Alarm,
  {
    /** In milliseconds since 1970. */
    readonly set: (at: number) => void
    /** Returns when one is due, and forgets all that are. */
    readonly due: Effect.Effect<void>
  }
>() {}

export const make = Effect.map(Effect.makeLatch(false), (earlier) => {
  /** Ascending. */
  const times: Array<number> = []
  return Alarm.of({
    set: (at) => {
      const time = Math.ceil(at / GRAIN) * GRAIN
      let index = times.length
      while (index > 0 && (times[index - 1] ?? 0) > time) index--
      if (times[index - 1] === time || index >= MOST) return
      times.splice(index, 0, time)
      if (times.length > MOST) times.pop()
      if (index === 0) earlier.unsafeOpen()
    },
    due: Effect.gen(function* () {
      while (true) {
        earlier.unsafeClose()
        const now = yield* Clock.currentTimeMillis
        const left = times.findIndex((time) => time > now)
        const passed = times.splice(0, left < 0 ? times.length : left)
        if (passed.length > 0) return
        yield* Effect.raceFirst(
          Effect.sleep(Math.min((times[0] ?? Number.POSITIVE_INFINITY) - now, AT_MOST)),
          earlier.await
        )
      }
    })
  })
})

/** Learns the times from what is stored. */
export const layer: Layer.Layer<Alarm | MessageStorage.MessageStorage, never, MessageStorage.MessageStorage> =
  Layer.effectContext(
    Effect.gen(function* () {
      const alarm = yield* make
      const storage = yield* MessageStorage.MessageStorage
      const listening = MessageStorage.MessageStorage.of({
        ...storage,
        saveRequest: (message) => {
          const at = DeliverAt.toMillis(message.envelope.payload)
          const saving = storage.saveRequest(message)
          return at === null ? saving : Effect.tap(saving, () => Effect.sync(() => alarm.set(at)))
        }
      })
      return Context.make(MessageStorage.MessageStorage, listening).pipe(Context.add(Alarm, alarm))
    })
  )

export const connected: Layer.Layer<never, never, Alarm | Sharding.Sharding> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const alarm = yield* Alarm
    const { pollStorage } = yield* Sharding.Sharding
    yield* alarm.due.pipe(Effect.andThen(pollStorage), Effect.forever, Effect.forkScoped)
  })
)
