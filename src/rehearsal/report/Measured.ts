/** What the pods' own logs say of how long things took. */
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"

export interface Measured {
  /** Milliseconds from a runner's death to its work going on, as drills saw it. */
  readonly takeovers: ReadonlyArray<number>
  /** Milliseconds from a runner's process start to its first shards. */
  readonly runnerStarts: ReadonlyArray<number>
}

/** All figures that the pattern's first group finds, in seconds, as milliseconds. */
export const figures = (text: string, pattern: RegExp): ReadonlyArray<number> =>
  [...text.matchAll(pattern)].map((match) => Math.round(Number(match[1]) * 1000))

/** Reads the log folder of every target below `folder`. A missing one is empty: the walk may have ended early. */
export const read = (folder: string): Effect.Effect<Measured> =>
  Effect.promise(async () => {
    const takeovers: Array<number> = []
    const runnerStarts: Array<number> = []
    for (const target of await readdir(folder).catch(() => [])) {
      const logs = join(folder, target, "logs")
      for (const file of await readdir(logs).catch(() => [])) {
        const text = await readFile(join(logs, file), "utf8")
        if (file.startsWith("drill-")) takeovers.push(...figures(text, /^ *takeover +([\d.]+) s$/gm))
        else runnerStarts.push(...figures(text, /Shards held ([\d.]+) s after process start/g))
      }
    }
    return { takeovers, runnerStarts }
  })
