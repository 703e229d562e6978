/**
 * What a gate takes of runners beside it: workflows a second of a client and a runner that are never idle, in windows with and
 * without a gate at work.
 *
 * The load goes on without a pause, and is counted in pairs of windows: alone and beside, beside and alone, and so on, so that a
 * database which grows, or a machine that slows down, takes as much of both. The figure is what was done in all windows beside a
 * gate, of what was done in all windows alone; its interval is that of 95 in 100 draws of as many pairs, with repetition. The control is
 * the same with no gate at all: what it differs from 100 percent by is the measure's own noise.
 *
 * A window is as long as a runner takes from one clearing of what it built to the next (`Engine.ts`: ten seconds, and what it then
 * takes): a thousand executions a second later that is a pause of half a second and more. Windows of four seconds differed by 26 percent,
 * since some had one and some had none; of eleven, by 5.
 *
 * The gate is held (SIGSTOP) in the windows alone, in the middle of whatever it does, and its clock stands meanwhile: so the windows
 * beside it hold a gate from its start on, with all of its reading; what they do not reach goes on at the same pace.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { constants, setPriority } from "node:os"
import { Effect, Fiber } from "effect"
import { urlAs } from "../support/migrate.ts"
import { random } from "../support/random.ts"
import { ours } from "./engines/Engine.ts"
import { print, quantile, type World } from "./world.ts"

export const LOAD = { inFlight: 50, steps: 2, bytes: 0, times: true }
const WARM_SECONDS = 15
/** After a gate is let go or held: what is in flight then belongs to neither. */
const SETTLE_SECONDS = 0.3
/** Whether the gate is at work: of two pairs. */
const ORDER = [false, true, true, false] as const

/** What was done in the two windows, in workflows a second. */
export interface Pair {
  readonly alone: number
  readonly beside: number
}

export interface Share {
  readonly kept: number
  readonly low: number
  readonly high: number
}

const keptOf = (pairs: ReadonlyArray<Pair>) =>
  pairs.reduce((sum, { beside }) => sum + beside, 0) / pairs.reduce((sum, { alone }) => sum + alone, 0)

const DRAWS = 10_000

/** The share that was kept, and between what 95 in 100 draws of the pairs lie. The same pairs, the same figures. */
export const shareOf = (pairs: ReadonlyArray<Pair>): Share => {
  const draw = random(1)
  const draws = Array.from({ length: DRAWS }, () => keptOf(pairs.map(() => pairs[Math.floor(draw() * pairs.length)]!)))
  return { kept: keptOf(pairs), low: quantile(draws, 0.025), high: quantile(draws, 0.975) }
}

interface Window {
  readonly beside: boolean
  readonly from: number
  readonly to: number
}

/** How many of these moments lie in each window, a second, pair by pair. */
export const pairsOf = (windows: ReadonlyArray<Window>, endedAt: ReadonlyArray<number>): ReadonlyArray<Pair> => {
  const rate = ({ from, to }: Window) => (endedAt.filter((at) => at >= from && at < to).length * 1_000) / (to - from)
  return Array.from({ length: Math.floor(windows.length / 2) }, (_, index) => {
    const [first, second] = [windows[2 * index]!, windows[2 * index + 1]!]
    return first.beside ? { alone: rate(second), beside: rate(first) } : { alone: rate(first), beside: rate(second) }
  })
}

interface Held {
  readonly go: Effect.Effect<void>
  readonly hold: Effect.Effect<void>
  readonly ended: () => number
}

const nobody: Held = { go: Effect.void, hold: Effect.void, ended: () => 0 }

const over = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

/** One gate after the other, until the scope ends, as `deliver gate` runs: with its priority. */
const gating = (file: string, env: NodeJS.ProcessEnv) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let ended = 0
      let heldAt: number | undefined
      const child = spawn(process.execPath, [file], { env, stdio: ["pipe", "pipe", "inherit"] })
      child.stdout.on("data", () => void ended++)
      if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
      const held: Held = {
        ended: () => ended,
        hold: Effect.sync(() => {
          if (heldAt !== undefined) return
          child.kill("SIGSTOP")
          heldAt = performance.now()
        }),
        go: Effect.sync(() => {
          if (over(child)) throw new Error(`the gate ended with ${child.exitCode} while runners were measured`)
          if (heldAt === undefined) return
          child.stdin.write(`${Math.round(performance.now() - heldAt)}\n`)
          heldAt = undefined
          child.kill("SIGCONT")
        })
      }
      return { child, held }
    }),
    ({ child }) =>
      Effect.async<void>((resume) => {
        if (over(child)) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
  )

/** `gate`: the measuring process and its environment. Undefined: the control. */
export const runners = (
  place: World,
  options: {
    readonly database: string
    readonly gate: { readonly file: string; readonly env: NodeJS.ProcessEnv } | undefined
    readonly pairs: number
    readonly seconds: number
  }
) =>
  Effect.gen(function* () {
    const { database, gate, seconds } = options
    const { start } = ours({
      name: "runners",
      database,
      runners: 1,
      env: { MESSAGE_STORAGE: "group", STEP_ENGINE: "journal" }
    })
    const running = yield* start(place, urlAs(place.server.url(database), "runtime"))
    const count = options.pairs * 2
    // All windows, and what comes between them.
    const load = yield* Effect.fork(running.run(LOAD, WARM_SECONDS + count * (seconds + SETTLE_SECONDS + 0.05)))
    yield* Effect.sleep(`${WARM_SECONDS} seconds`)
    const { held } = gate === undefined ? { held: nobody } : yield* gating(gate.file, gate.env)
    yield* held.hold
    const windows: Array<Window> = []
    for (let index = 0; index < count; index++) {
      const beside = ORDER[index % ORDER.length]!
      yield* beside ? held.go : held.hold
      yield* Effect.sleep(SETTLE_SECONDS * 1_000)
      const from = Date.now()
      yield* Effect.sleep(seconds * 1_000)
      windows.push({ beside, from, to: Date.now() })
    }
    const ended = held.ended()
    const { endedAt = [] } = yield* Fiber.join(load)
    const pairs = pairsOf(windows, endedAt)
    for (const { alone, beside } of pairs)
      yield* print(`runners: ${alone.toFixed(0)} workflows/s alone, ${beside.toFixed(0)} beside`)
    return { pairs, ended }
  }).pipe(Effect.scoped)
