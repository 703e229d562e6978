/**
 * What a gate takes of runners beside it: workflows a second of a client and a runner that are never idle, in windows with and
 * without a gate at work.
 *
 * The load goes on without a pause, and is counted in windows: alone, beside, beside, alone, and so on, so that a database which
 * grows, or a machine that slows down, takes as much of both. Four windows are a block. The figure is what was done in all windows
 * beside a gate, of what was done in all windows alone; its interval is that of 95 in 100 draws of as many blocks, with repetition.
 * The control is the same with no gate at all: what it differs from 100 percent by is the measure's own noise.
 *
 * The gate is held (SIGSTOP) in the windows alone, in the middle of whatever it does, and its clock stands meanwhile: so the windows
 * beside it hold one whole gate, from its first statement on, with the hurry at its end.
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
export const ORDER = [false, true, true, false] as const

/** What was done in a block's windows, in workflows a second. */
export interface Block {
  readonly alone: number
  readonly beside: number
}

export interface Share {
  readonly kept: number
  readonly low: number
  readonly high: number
}

const keptOf = (blocks: ReadonlyArray<Block>) =>
  blocks.reduce((sum, { beside }) => sum + beside, 0) / blocks.reduce((sum, { alone }) => sum + alone, 0)

const DRAWS = 10_000

/** The share that was kept, and between what 95 in 100 draws of the blocks lie. The same blocks, the same figures. */
export const shareOf = (blocks: ReadonlyArray<Block>): Share => {
  const draw = random(1)
  const draws = Array.from({ length: DRAWS }, () =>
    keptOf(blocks.map(() => blocks[Math.floor(draw() * blocks.length)]!))
  )
  return { kept: keptOf(blocks), low: quantile(draws, 0.025), high: quantile(draws, 0.975) }
}

/** How many of these moments lie in windows of `beside`, a second, block by block. */
export const blocksOf = (
  windows: ReadonlyArray<{ readonly beside: boolean; readonly from: number; readonly to: number }>,
  endedAt: ReadonlyArray<number>
): ReadonlyArray<Block> => {
  const sorted = endedAt.toSorted((a, b) => a - b)
  const before = (at: number) => {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (sorted[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  }
  const rate = (some: typeof windows) =>
    (some.reduce((sum, { from, to }) => sum + before(to) - before(from), 0) * 1_000) /
    some.reduce((sum, { from, to }) => sum + to - from, 0)
  return Array.from({ length: Math.floor(windows.length / ORDER.length) }, (_, block) => {
    const own = windows.slice(block * ORDER.length, (block + 1) * ORDER.length)
    return { alone: rate(own.filter(({ beside }) => !beside)), beside: rate(own.filter(({ beside }) => beside)) }
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
    readonly blocks: number
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
    const count = options.blocks * ORDER.length
    // All windows, and what comes between them.
    const load = yield* Effect.fork(running.run(LOAD, WARM_SECONDS + count * (seconds + SETTLE_SECONDS + 0.05)))
    yield* Effect.sleep(`${WARM_SECONDS} seconds`)
    const { held } = gate === undefined ? { held: nobody } : yield* gating(gate.file, gate.env)
    yield* held.hold
    const windows: Array<{ beside: boolean; from: number; to: number }> = []
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
    const blocks = blocksOf(windows, endedAt)
    for (const { alone, beside } of blocks)
      yield* print(`runners: ${alone.toFixed(0)} workflows/s alone, ${beside.toFixed(0)} beside`)
    if (process.env["TRACE"]) {
      const s0 = Math.floor(endedAt[0]! / 1000)
      const c: Record<number, number> = {}
      for (const t of endedAt) c[Math.floor(t / 1000) - s0] = (c[Math.floor(t / 1000) - s0] ?? 0) + 1
      yield* print(
        Object.entries(c)
          .map(([k, v]) => `${k}:${v}`)
          .join(" ")
      )
    }
    return { blocks, ended }
  }).pipe(Effect.scoped)
