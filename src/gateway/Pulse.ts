/**
 * One timer for the heartbeats of all sockets: a fiber or a timer each would be most of what a silent socket costs.
 *
 * Each beats once an interval, counted from when it came, so that they stay as spread as clients came.
 */
import { Duration, Effect, type Scope } from "effect"

export interface Pulse {
  /** `beat` is called each interval, late by a tenth of it at most, until the returned function is called. */
  readonly add: (beat: (now: number) => void) => () => void
}

/** Runs until the scope closes. Times are of `performance.now()`. */
export const make = (interval: Duration.DurationInput): Effect.Effect<Pulse, never, Scope.Scope> =>
  Effect.gen(function* () {
    const millis = Duration.toMillis(interval)
    const beating = new Set<{ dueAt: number; readonly beat: (now: number) => void }>()
    const tick = Effect.sync(() => {
      const now = performance.now()
      for (const each of beating) {
        if (each.dueAt > now) continue
        each.dueAt = now + millis
        each.beat(now)
      }
    })
    yield* Effect.sleep(millis / 10).pipe(Effect.andThen(tick), Effect.forever, Effect.forkScoped)
    return {
      add: (beat) => {
        const entry = { dueAt: performance.now() + millis, beat }
        beating.add(entry)
        return () => void beating.delete(entry)
      }
    }
  })
