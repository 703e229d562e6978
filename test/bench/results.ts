/** What was measured, as it is kept in `docs/performance/SUITE.json`: the page and its plots are made from this alone. */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Load } from "./engines/Engine.ts"
import { median } from "./world.ts"

/** One engine under one load, once. Times in ms, all but `p50` and `p99` a workflow. What can't be known is null. */
export interface Sample extends Load {
  readonly engine: string
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** Completed in the second with the fewest; older figures and loads of a second have none. */
  readonly slowestSecond?: number | null
  readonly statements: number | null
  readonly commits: number | null
  readonly workerMs: number
  readonly driverMs: number
  readonly serverMs: number
  /** MB that the largest of its Node processes held at most so far. */
  readonly residentMb: number
  /** Of the driver's process: KB allocated and ms collected a workflow. */
  readonly allocatedKb: number | null
  readonly gcMs: number | null
  /** KB that the functions of each package allocated in the driver's process, a workflow. */
  readonly allocatedBy?: Readonly<Record<string, number>>
  /** Of how many processors other work had the use meanwhile. */
  readonly others: number
}

/** What of a sample is a number. */
export type What = Exclude<keyof Sample, "engine" | "allocatedBy">

/** One run of the command: engines in turn, round by round. */
export interface Piece {
  readonly about: {
    readonly day: string
    readonly commit: string
    readonly machine: string
    readonly command: string
    /** Rounds of four single-row transactions a second, by pgbench. */
    readonly floors: ReadonlyArray<number>
  }
  readonly samples: ReadonlyArray<Sample>
}

/** The last commit that changed what is measured, so that pieces between which only pages changed are of one state. */
export const measuredCommit = (): string => {
  const bench = ["engines", "dbos", "restate", "suites.ts"].map((name) => `test/bench/${name}`)
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", [...args, "--", "src", "migrations", "package-lock.json", ...bench], {
      encoding: "utf8"
    }).trim()
  return `${git("log", "-1", "--format=%h")}${git("status", "--porcelain") === "" ? "" : " with changes"}`
}

const FOLDER = "docs/performance"
const file = (suite: string) => join(FOLDER, `${suite}.json`)

export const read = (suite: string): ReadonlyArray<Piece> =>
  existsSync(file(suite)) ? (JSON.parse(readFileSync(file(suite), "utf8")) as ReadonlyArray<Piece>) : []

/** One sample a line, so that a diff shows what changed. */
export const write = async (suite: string, pieces: ReadonlyArray<Piece>): Promise<void> => {
  await mkdir(FOLDER, { recursive: true })
  const text = pieces.map(({ about, samples }) => {
    const rows = samples.map((sample) => `      ${JSON.stringify(sample)}`).join(",\n")
    return `  {\n    "about": ${JSON.stringify(about)},\n    "samples": [\n${rows}\n    ]\n  }`
  })
  await writeFile(file(suite), `[\n${text.join(",\n")}\n]\n`)
}

/** The median over all rounds of all pieces; undefined when it was not measured. */
export const figure = (
  samples: ReadonlyArray<Sample>,
  engine: string,
  load: Partial<Load>,
  what: What
): number | undefined => {
  const values = samples
    .filter((sample) => sample.engine === engine)
    .filter((sample) => Object.entries(load).every(([key, value]) => sample[key as keyof Load] === value))
    .flatMap((sample) => sample[what] ?? [])
  return values.length === 0 ? undefined : median(values)
}
