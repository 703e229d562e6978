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
  /** Called when the function asked for time or chance: only then can another time or chance make a difference. */
  readonly consulted: () => void
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
    const end = elapsed() + MILLIS
    return surrounded(this.surroundings, () => {
      while (this.tasks.length > 0) {
        const tasks = this.tasks
        this.tasks = []
        for (const task of tasks) task()
        this.turns += tasks.length
        if (this.turns > TURNS || elapsed() > end) return false
      }
      return true
    })
  }

  get idle(): boolean {
    return this.tasks.length === 0
  }
}

const elapsed = performance.now.bind(performance)
const RealDate = Date
const realProcess = process

const surrounded = <A>({ now, chance, outside, consulted }: Surroundings, run: () => A): A => {
  class OurDate extends RealDate {
    constructor(...given: ReadonlyArray<unknown>) {
      if (given.length === 0) {
        consulted()
        super(now)
      } else super(...(given as [number]))
    }
    static override now = () => {
      consulted()
      return now
    }
    // Dates that were made before, or by a library, are dates all the same.
    static override [Symbol.hasInstance] = (value: unknown) =>
      Function.prototype[Symbol.hasInstance].call(RealDate, value)
  }
  const { random } = Math
  const { fetch } = globalThis
  const { env } = realProcess
  globalThis.Date = OurDate as DateConstructor
  Math.random = () => {
    consulted()
    return chance
  }
  const { now: sinceStart } = performance
  performance.now = () => {
    consulted()
    return now
  }
  const { crypto } = globalThis
  // Chance that is too good to be ours: two replays get two values.
  const real = { randomUUID: crypto.randomUUID, getRandomValues: crypto.getRandomValues }
  crypto.randomUUID = () => {
    consulted()
    return real.randomUUID.call(crypto)
  }
  crypto.getRandomValues = (array) => {
    consulted()
    return real.getRandomValues.call(crypto, array) as typeof array
  }
  realProcess.env = new Proxy(env, {
    get: (target, name) => {
      if (typeof name === "string") outside(`process.env.${name}`)
      return Reflect.get(target, name) as string | undefined
    }
  })
  globalThis.fetch = () => {
    outside("fetch")
    return new Promise(() => undefined)
  }
  try {
    return run()
  } finally {
    globalThis.Date = RealDate
    Math.random = random
    performance.now = sinceStart
    Object.assign(crypto, real)
    realProcess.env = env
    globalThis.fetch = fetch
  }
}

/** A time that stands still, and in which nobody wakes: who sleeps outside a durable clock waits for ever. */
export const stillClock = ({ now, consulted }: Surroundings): Clock.Clock => {
  const millis = () => {
    consulted()
    return now
  }
  const nanos = () => BigInt(millis()) * 1_000_000n
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos),
    sleep: () => waitForEver
  }
}

/** Made when it is first asked: few workflow functions do. */
export const chanceOf = ({ chance, consulted }: Surroundings): Random.Random => {
  let made: Random.Random | undefined
  return new Proxy({} as Random.Random, {
    get: (_, property) => {
      consulted()
      made ??= Random.make(chance)
      return Reflect.get(made, property, made) as unknown
    }
  })
}

/** Unlike `Effect.never` it holds no timer: a forgotten one is collected. The parameter spares an `AbortController`. */
const waitForEver: Effect.Effect<never> = Effect.async((_resume) => undefined)
