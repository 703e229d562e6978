/** What a person follows while a rehearsal runs: one line per thing that happened, with the time since the start. */
import { Effect } from "effect"

export interface Progress {
  /** `where` is a target, or the part of the rehearsal that speaks. */
  readonly say: (where: string, text: string) => Effect.Effect<void>
  /** Lines below a line: a gate's own words. */
  readonly quote: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  readonly elapsedMs: () => number
}

const WHERE_WIDTH = 9

/** `write` gets whole lines without their end. */
export const make = (write: (line: string) => void): Progress => {
  const started = performance.now()
  const elapsedMs = () => performance.now() - started
  return {
    say: (where, text) =>
      Effect.sync(() =>
        write(`${(elapsedMs() / 1000).toFixed(1).padStart(6)}s  ${where.padEnd(WHERE_WIDTH)}  ${text}`)
      ),
    quote: (lines) =>
      Effect.sync(() => {
        for (const line of lines) write(`${" ".repeat(WHERE_WIDTH + 11)}│ ${line}`)
      }),
    elapsedMs
  }
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
