/** What clients ask and what goes wrong in one schedule, made of a seed alone: the same seed, the same schedule. */

export interface PlannedRun {
  /** Milliseconds after the schedule's start. */
  readonly at: number
  readonly run: string
  readonly session: string
  readonly message: string
  /** The client hangs up this long after it asked, and asks again only if `again`. */
  readonly cut?: { readonly after: number; readonly again: boolean }
  /** The client cancels this long after its start was acknowledged. */
  readonly cancelAfter?: number
}

export type Fault =
  /** SIGKILL. With `downFor` 0 the runner is started again at once, under the same address, as a StatefulSet's pod would be. */
  | { readonly kind: "kill"; readonly runner: number; readonly downFor: number }
  /** SIGSTOP, and SIGCONT later. */
  | { readonly kind: "freeze"; readonly runner: number; readonly millis: number }
  /** SIGTERM, and a new process once it has ended: one step of a rolling update. */
  | { readonly kind: "roll"; readonly runner: number }
  /** Ends the database session that holds the runner's shard locks. */
  | { readonly kind: "cut-locks"; readonly runner: number }
  /** Ends all database sessions of the runner. */
  | { readonly kind: "cut-database"; readonly runner: number }
  /** Nothing passes between the runner and Postgres, and nobody is told: no reset, no answer. */
  | { readonly kind: "cut-network"; readonly runner: number; readonly millis: number }
  /** The runner's machine is gone, without a word to its peers or to Postgres. */
  | { readonly kind: "power-cut"; readonly runner: number; readonly downFor: number }
  /** What is written is committed, and the writer never hears of it. A number without a runner is the client. */
  | { readonly kind: "lose-answers"; readonly runner: number; readonly count: number }
  | { readonly kind: "restart-database"; readonly signal: "SIGINT" | "SIGQUIT"; readonly awayFor: number }

export type PlannedFault = Fault & { readonly at: number }

export interface Scenario {
  readonly seed: number
  readonly runs: ReadonlyArray<PlannedRun>
  readonly faults: ReadonlyArray<PlannedFault>
}

/** Mulberry32: 32 bits of state, good enough to draw schedules, and the same on every machine. */
export const random = (seed: number) => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1))
  return {
    between,
    chance: (probability: number): boolean => next() < probability,
    pick: <A>(all: readonly [A, ...ReadonlyArray<A>]): A => all[between(0, all.length - 1)] ?? all[0]
  }
}

type Random = ReturnType<typeof random>

/** Runs start and faults strike within this time; then everything is healed. */
const WINDOW = 4_000

const messageOf = ({ between, chance, pick }: Random): string => {
  const words: Array<string> = [pick(["hello there", "what is it", "go on", "once more please"])]
  words.push(`tokens:${between(5, 60)}`)
  if (chance(0.6)) words.push(`slow:${between(5, 40)}`)
  for (let tools = pick([0, 0, 1, 2, 3]); tools > 0; tools--) {
    words.push(pick(["tool:add=1+2", "tool:echo=x", `tool:wait=${between(20, 600)}`, "tool:broken", "tool:unknown"]))
  }
  if (chance(0.35)) words.push("approve")
  if (chance(0.15)) words.push(`flaky:${between(1, 2)}`)
  if (chance(0.05)) words.push("fail")
  return words.join(" ")
}

const faultOf = ({ between, chance, pick }: Random, runners: number): Fault => {
  const runner = between(0, runners - 1)
  const kind = pick([
    "kill",
    "kill",
    "kill",
    "freeze",
    "freeze",
    "roll",
    "roll",
    "cut-locks",
    "cut-locks",
    "cut-database",
    "cut-network",
    "power-cut",
    "lose-answers",
    "lose-answers",
    "restart-database"
  ] as const)
  switch (kind) {
    case "kill":
      return { kind, runner, downFor: chance(0.5) ? 0 : between(500, 4_000) }
    case "freeze":
      return { kind, runner, millis: chance(0.3) ? between(9_000, 14_000) : between(500, 6_000) }
    case "cut-network":
      return { kind, runner, millis: chance(0.3) ? between(8_000, 12_000) : between(500, 6_000) }
    case "power-cut":
      return { kind, runner, downFor: between(1_000, 12_000) }
    case "lose-answers":
      return { kind, runner: between(0, runners), count: between(1, 4) }
    case "restart-database":
      return { kind, signal: pick(["SIGINT", "SIGQUIT"]), awayFor: chance(0.3) ? between(2_000, 10_000) : 0 }
    default:
      return { kind, runner }
  }
}

export const scenario = (seed: number, runners: number): Scenario => {
  const dice = random(seed)
  const { between, chance, pick } = dice
  const sessions = between(1, 4)
  const runs = Array.from({ length: between(4, 9) }, (_, index): PlannedRun => {
    const session = `s${seed}-${between(1, sessions)}`
    return {
      at: between(0, WINDOW),
      run: `r${seed}-${index + 1}`,
      session,
      message: messageOf(dice),
      ...(chance(0.2) ? { cut: { after: between(1, 300), again: chance(0.5) } } : {}),
      ...(chance(0.15) ? { cancelAfter: between(0, 1_500) } : {})
    }
  })
  const faults = Array.from(
    { length: pick([1, 1, 2, 2, 3, 4]) },
    (): PlannedFault => ({ ...faultOf(dice, runners), at: between(100, WINDOW) })
  )
  return { seed, runs, faults: faults.toSorted((one, other) => one.at - other.at) }
}

export const describeFault = (fault: PlannedFault): string => {
  const where = "runner" in fault ? ` ${fault.runner}` : ""
  const how =
    "count" in fault
      ? ` of ${fault.count} writes`
      : "signal" in fault
        ? ` ${fault.signal}, away for ${fault.awayFor}ms`
        : "millis" in fault
          ? ` for ${fault.millis}ms`
          : "downFor" in fault
            ? fault.downFor === 0
              ? " and back at once"
              : ` for ${fault.downFor}ms`
            : ""
  return `${fault.kind}${where}${how} @${fault.at}`
}

/** A setting of these programs from the environment. */
export const wholeNumber = (name: string, fallback: number): number => {
  const given = process.env[name]
  if (given === undefined || given === "") return fallback
  if (/^\d+$/.test(given)) return Number(given)
  process.stderr.write(`${name} is "${given}" and must be a whole number.\n`)
  process.exit(2)
}
