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
const MICROS = 1_000

export interface Surroundings {
  readonly now: number
  readonly chance: number
  /** Called with what the function touched that no replay can answer. */
  readonly outside: (what: string) => void
  /** Called when the function asked for time or chance: only then can another time or chance make a difference. */
  readonly consulted: () => void
  /** Called with 1 when it begins to sleep in memory, and with -1 when it no longer does. */
  readonly slept: (more: 1 | -1) => void
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
    let busyEnd: number | undefined
    // The clock alone would call a function endless because others have the machine's processors.
    const over = () => {
      if (elapsed() <= end) return false
      busyEnd ??= busy() + MILLIS
      return busy() > busyEnd
    }
    return surrounded(this.surroundings, () => {
      while (this.tasks.length > 0) {
        const tasks = this.tasks
        this.tasks = []
        for (const task of tasks) task()
        this.turns += tasks.length
        if (this.turns > TURNS || over()) return false
      }
      return true
    })
  }

  get idle(): boolean {
    return this.tasks.length === 0
  }
}

const elapsed = performance.now.bind(performance)
/** Of this thread; ten times as dear to ask as the clock. */
const busy = () => process.threadCpuUsage().user / MICROS
const RealDate = Date
const realProcess = process

/**
 * Whose turn it is: replays of one thread run one at a time. The stand-ins below are made once and ask here, since making
 * them for each replay was a tenth of its time.
 */
let current: Surroundings | undefined

const now = () => {
  current?.consulted()
  return current?.now ?? RealDate.now()
}

class OurDate extends RealDate {
  constructor(...given: ReadonlyArray<unknown>) {
    if (given.length === 0) super(now())
    else super(...(given as [number]))
  }
  static override now = now
  // Dates that were made before, or by a library, are dates all the same.
  static override [Symbol.hasInstance] = (value: unknown) =>
    Function.prototype[Symbol.hasInstance].call(RealDate, value)
}

const ourChance = () => {
  current?.consulted()
  return current?.chance ?? 0
}

const ourFetch = () => {
  current?.outside("fetch")
  return new Promise<never>(() => undefined)
}

// Chance that is too good to be ours: two replays get two values.
const { randomUUID, getRandomValues } = crypto
const ourCrypto = {
  randomUUID: () => {
    current?.consulted()
    return randomUUID.call(crypto)
  },
  getRandomValues: (array: Uint8Array<ArrayBuffer>) => {
    current?.consulted()
    return getRandomValues.call(crypto, array)
  }
}

const ourEnv = new Proxy(realProcess.env, {
  get: (target, name) => {
    if (typeof name === "string") current?.outside(`process.env.${name}`)
    return Reflect.get(target, name) as string | undefined
  }
})

const surrounded = <A>(surroundings: Surroundings, run: () => A): A => {
  const { random } = Math
  const { fetch } = globalThis
  const { env } = realProcess
  const { now: sinceStart } = performance
  const real = { randomUUID: crypto.randomUUID, getRandomValues: crypto.getRandomValues }
  current = surroundings
  globalThis.Date = OurDate as DateConstructor
  Math.random = ourChance
  performance.now = now
  Object.assign(crypto, ourCrypto)
  realProcess.env = ourEnv
  globalThis.fetch = ourFetch
  try {
    return run()
  } finally {
    globalThis.Date = RealDate
    Math.random = random
    performance.now = sinceStart
    Object.assign(crypto, real)
    realProcess.env = env
    globalThis.fetch = fetch
    current = undefined
  }
}

/** A time that stands still, and in which nobody wakes: who sleeps outside a durable clock waits for ever. */
export const stillClock: Clock.Clock = {
  [Clock.ClockTypeId]: Clock.ClockTypeId,
  unsafeCurrentTimeMillis: now,
  unsafeCurrentTimeNanos: () => BigInt(now()) * 1_000_000n,
  currentTimeMillis: Effect.sync(now),
  currentTimeNanos: Effect.sync(() => BigInt(now()) * 1_000_000n),
  sleep: () => sleepForEver
}

/** The chance of whose turn it is; made when it is first asked: few workflow functions do. */
const chances = new WeakMap<Surroundings, Random.Random>()
export const stillChance: Random.Random = new Proxy({} as Random.Random, {
  get: (_, property) => {
    if (current === undefined) return Reflect.get(Random.make(0), property) as unknown
    current.consulted()
    const made = chances.get(current) ?? Random.make(current.chance)
    chances.set(current, made)
    return Reflect.get(made, property, made) as unknown
  }
})

/** Unlike `Effect.never` it holds no timer: a forgotten one is collected. The parameter spares an `AbortController`. */
const sleepForEver: Effect.Effect<never> = Effect.async((_resume) => {
  const sleeper = current
  sleeper?.slept(1)
  return Effect.sync(() => sleeper?.slept(-1))
})
