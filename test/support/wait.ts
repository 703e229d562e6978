/** Waiting for what must become true, instead of sleeping. */
import { Data, Duration, Effect, Schedule } from "effect"

export class NeverHappened extends Data.TaggedError("NeverHappened")<{
  readonly what: string
  readonly last: string
}> {
  override get message(): string {
    return `${this.what} did not happen in time. Last seen: ${this.last}`
  }
}

/** Asks again each 25 ms until the answer satisfies; fails with the last answer after `within`. Long: a busy machine is no reason to fail. */
export const until = <A, E, R>(
  what: string,
  ask: Effect.Effect<A, E, R>,
  satisfies: (answer: A) => boolean,
  within: Duration.DurationInput = "30 seconds"
): Effect.Effect<A, NeverHappened, R> => {
  let last = "nothing"
  return ask.pipe(
    Effect.tap((answer) => Effect.sync(() => (last = JSON.stringify(answer) ?? "undefined"))),
    Effect.tapError((error) => Effect.sync(() => (last = String(error)))),
    Effect.filterOrFail(satisfies, () => "not yet"),
    Effect.retry(Schedule.spaced("25 millis").pipe(Schedule.upTo(within))),
    Effect.mapError(() => new NeverHappened({ what: `${what} (${Duration.format(Duration.decode(within))})`, last }))
  )
}
