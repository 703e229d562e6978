/**
 * Where a replayed workflow function runs: by itself, turn by turn, cut off from time and chance.
 *
 * Effect's fibers are scheduled by us, so a replay is over when nothing is left to run: no guess by waiting. Everything runs
 * within `play`, and only there the globals of time and chance are ours: no other code of the process sees them.
 */
import { Clock, Effect, Random, type Scheduler } from "effect"

/** A replay that has not come to rest after so many turns is cut off. The workflows here take some hundreds. */
const TURNS = 50_000
const OPERATIONS_PER_TURN = 2_048
const MILLIS = 1_000

export interface Surroundings {
  readonly now: number
  readonly chance: number
  /** Called with what the function touched that no replay can answer. */
  readonly outside: (what: string) => void
}

type Task = () => void

export class Stage implements Scheduler.Scheduler {
  private tasks: Array<Task> = []
  private turns = 0
  readonly surroundings: Surroundings
  constructor(surroundings: Surroundings) {
    this.surroundings = surroundings
  }

  scheduleTask(task: Task): void {
    this.tasks.push(task)
  }

  shouldYield(fiber: { readonly currentOpCount: number }): number | false {
    return fiber.currentOpCount > OPERATIONS_PER_TURN ? 0 : false
  }

  /** Runs what can run. False: it would not end. */
  play(): boolean {
    const end = performance.now() + MILLIS
    return surrounded(this.surroundings, () => {
      while (this.tasks.length > 0) {
        const tasks = this.tasks
        this.tasks = []
        for (const task of tasks) task()
        this.turns += tasks.length
        if (this.turns > TURNS || performance.now() > end) return false
      }
      return true
    })
  }

  get idle(): boolean {
    return this.tasks.length === 0
  }
}

const RealDate = Date

const surrounded = <A>({ now, chance, outside }: Surroundings, run: () => A): A => {
  class OurDate extends RealDate {
    constructor(...given: ReadonlyArray<unknown>) {
      if (given.length === 0) super(now)
      else super(...(given as [number]))
    }
    static override now = () => now
    // Dates that were made before, or by a library, are dates all the same.
    static override [Symbol.hasInstance] = (value: unknown) =>
      Function.prototype[Symbol.hasInstance].call(RealDate, value)
  }
  const { random } = Math
  const { fetch } = globalThis
  globalThis.Date = OurDate as DateConstructor
  Math.random = () => chance
  globalThis.fetch = () => {
    outside("fetch")
    return new Promise(() => undefined)
  }
  try {
    return run()
  } finally {
    globalThis.Date = RealDate
    Math.random = random
    globalThis.fetch = fetch
  }
}

/** A time that stands still, and in which nobody wakes: who sleeps outside a durable clock waits for ever. */
export const stillClock = ({ now }: Surroundings): Clock.Clock => ({
  [Clock.ClockTypeId]: Clock.ClockTypeId,
  unsafeCurrentTimeMillis: () => now,
  unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
  currentTimeMillis: Effect.succeed(now),
  currentTimeNanos: Effect.succeed(BigInt(now) * 1_000_000n),
  sleep: () => waitForEver
})

export const chanceOf = ({ chance }: Surroundings): Random.Random => Random.make(chance)

/** Unlike `Effect.never` it holds no timer: a forgotten one is collected. The parameter spares an `AbortController`. */
const waitForEver: Effect.Effect<never> = Effect.async((_resume) => undefined)
