/** What `make bench-starts` keeps in `docs/performance/starts.json`, and what the page says of it. */
import { existsSync, readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { median } from "./world.ts"

/** Milliseconds from the start of the process, each time: with what V8 compiled before, and without. */
export interface Start {
  readonly what: string
  readonly kept: ReadonlyArray<number>
  readonly anew: ReadonlyArray<number>
}
interface Starts {
  readonly day: string
  readonly commit: string
  readonly machine: string
  readonly command: string
  readonly starts: ReadonlyArray<Start>
}

const FILE = "docs/performance/starts.json"

export const write = (starts: Starts): Promise<void> => writeFile(FILE, `${JSON.stringify(starts, undefined, 2)}\n`)

const shown = (millis: ReadonlyArray<number>) => `${median(millis)} (${Math.min(...millis)}–${Math.max(...millis)})`

export const section = (): ReadonlyArray<string> => {
  if (!existsSync(FILE)) return []
  const { day, commit, machine, command, starts } = JSON.parse(readFileSync(FILE, "utf8")) as Starts
  return [
    "## Starts of processes",
    "",
    "From the start of a process until it is of use. The image holds what V8 compiled when each program was started once at its build (`NODE_COMPILE_CACHE`): here beside a start that compiles everything anew.",
    "",
    `_${day}, commit ${commit}: \`${command}\`, by turns. ${machine}._`,
    "",
    "| ms, median (least–most) | compiled before | compiled anew | saved |",
    "| --- | --- | --- | --- |",
    ...starts.map(
      ({ what, kept, anew }) =>
        `| ${what} | ${shown(kept)} | ${shown(anew)} | ${(100 * (1 - median(kept) / median(anew))).toFixed(0)} % |`
    ),
    ""
  ]
}
