/** Bounds on time, where other work may take the processors away. */
import { Effect } from "effect"
import { expect } from "vitest"

const ROUNDS = 3

/**
 * Measures up to three rounds until one keeps all bounds, in ms. What is slow by itself is slow every time; on a busy machine one round may be
 * slow for others' sake, and a run of all tests ended by it. Of a bound that is missed each round's figures are told.
 */
export const keeps = <Bound extends string, E, R>(
  bounds: Readonly<Record<Bound, number>>,
  measure: (round: number) => Effect.Effect<Readonly<Record<Bound, number>>, E, R>
): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const rounds: Array<Readonly<Record<Bound, number>>> = []
    const kept = (measured: Readonly<Record<Bound, number>>) =>
      Object.entries<number>(bounds).every(([name, bound]) => measured[name as Bound] <= bound)
    while (rounds.length < ROUNDS) {
      const measured = yield* measure(rounds.length + 1)
      rounds.push(measured)
      if (kept(measured)) return
    }
    expect(rounds, `each round was slower than ${JSON.stringify(bounds)}`).toEqual(bounds)
  })
