/** `docs/gates-performance.md`, from the figures that `make bench-gates` kept in `docs/performance/gates.json`. */
import { BUSY, ROWS_PER_SECOND } from "../../src/gates/workflows/postgres/Pace.ts"
import type { LayerName, Measured } from "./gates-layer.ts"
import { LOAD, type Pair, shareOf } from "./gates-runners.ts"
import { median } from "./world.ts"

const limits = {
  namesMs: 1_000,
  rowsPerSecond: 20_000,
  replaysPerSecond: 5_000,
  resultsPerSecond: 20_000,
  memoryMiB: 512,
  runners: 0.95
}

export interface About {
  readonly day: string
  readonly commit: string
  readonly command: string
  readonly machine: string
  /** Of the machine, before and after. */
  readonly load: readonly [number, number]
}

export interface Amounts {
  readonly open: number
  readonly finished: number
  readonly releases: number
}

/** One call's pairs. */
export interface Piece {
  readonly about: About
  /** How fast the gate judged beside runners. */
  readonly rowsPerSecond: number
  readonly seconds: number
  /** Gates that came to their end meanwhile. */
  readonly ended: number
  readonly pairs: ReadonlyArray<Pair>
}

/** What was measured last, each part with where and when. */
export interface Kept {
  readonly layers?: {
    readonly about: About
    readonly amounts: Amounts
    readonly rounds: ReadonlyArray<Record<LayerName, Measured>>
  }
  readonly control?: ReadonlyArray<Piece>
  readonly runners?: ReadonlyArray<Piece>
}

const whole = (value: number) => Math.round(value).toLocaleString("en-US")
const inSeconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
const percent = (value: number) => `${(value * 100).toFixed(1)} %`
const line = (...cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
const by = ({ command, day, commit, load, machine }: About) =>
  `\`${command}\` on ${day}, commit ${commit}, ${machine}, load ${load[0].toFixed(1)} before and ${load[1].toFixed(1)} after`

const layersOf = ({ about, amounts, rounds }: NonNullable<Kept["layers"]>) => {
  const of = (value: (one: Record<LayerName, Measured>) => number) => median(rounds.map(value))
  const highest = (layer: LayerName) => Math.max(...rounds.map((one) => one[layer].memoryMiB))
  const cpu = (layer: LayerName) => inSeconds(of((one) => one[layer].cpuMs))
  const perSecond = (count: number, ms: number) => (count / ms) * 1_000
  const names = of((one) => one.names.ms)
  const rows = of((one) => one.rows.ms)
  const replay = of((one) => one.replay.ms - one.rows.ms)
  const results = of((one) => one.results.ms)
  const memory = Math.max(...(["names", "rows", "replay", "results"] as const).map(highest))
  const findings = rounds.flatMap((one) => Object.values(one).flatMap((layer) => layer.findings))
  const missed = [
    names > limits.namesMs && `names and shapes took more than ${limits.namesMs} ms`,
    perSecond(amounts.open, rows) < limits.rowsPerSecond &&
      `fewer than ${limits.rowsPerSecond} executions decoded a second`,
    perSecond(amounts.open, replay) < limits.replaysPerSecond &&
      `fewer than ${limits.replaysPerSecond} replays a second`,
    perSecond(amounts.finished, results) < limits.resultsPerSecond &&
      `fewer than ${limits.resultsPerSecond} finished results decoded a second`,
    memory > limits.memoryMiB && `more than ${limits.memoryMiB} MiB of memory`,
    findings.length > 0 && `the gate did not pass what it must pass: ${findings[0]}`
  ].filter((each) => each !== false)
  const text = `${whole(amounts.open)} open executions, ${whole(amounts.finished * 8)} finished rows, ${amounts.releases} releases recorded beside the one that is judged.
Medians of ${rounds.length} rounds, in turn: ${by(about)}. PostgreSQL with fsync on the same machine.

${line("Layer", "Target", "Time", "CPU of the gate", "Highest memory", "A second")}
${line("---", "---", "---", "---", "---", "---")}
${line("names and shapes", `${limits.namesMs / 1_000} s`, inSeconds(names), cpu("names"), `${highest("names")} MiB`, "")}
${line("rows read and decoded", `${whole(limits.rowsPerSecond)} a second`, inSeconds(rows), cpu("rows"), `${highest("rows")} MiB`, `${whole(perSecond(amounts.open, rows))} executions`)}
${line("replay, beyond the rows", `${whole(limits.replaysPerSecond)} a second`, inSeconds(replay), inSeconds(of((one) => one.replay.cpuMs - one.rows.cpuMs)), `${highest("replay")} MiB`, `${whole(perSecond(amounts.open, replay))} executions`)}
${line("finished results still asked for", `${whole(limits.resultsPerSecond)} a second`, inSeconds(results), cpu("results"), `${highest("results")} MiB`, `${whole(perSecond(amounts.finished, results))} results`)}

Memory has a target of ${limits.memoryMiB} MiB. The gate is one thread with Node's options of its Job; it reads ahead while it judges, so that
Postgres works beside it. ${rounds[0]!.replay.checks.map(({ name, result }) => `${name}: ${result}.`).join(" ")}
Finished results are decoded where a release before wrote them in another form, or their shape does not tell all. Here nobody has
read any of the ${whole(amounts.finished)}, so all are still asked for. ${rounds[0]!.results.checks.map(({ name, result }) => `${name}: ${result}.`).join(" ")}`
  return { text, missed }
}

const pairsOf = (pieces: ReadonlyArray<Piece>) => pieces.flatMap(({ pairs }) => pairs)

const besideOf = (name: string, pieces: ReadonlyArray<Piece>, target: string) => {
  const pairs = pairsOf(pieces)
  const { kept, low, high } = shareOf(pairs)
  const of = (which: keyof Pair) => whole(pairs.reduce((sum, pair) => sum + pair[which], 0) / pairs.length)
  return line(
    name,
    `${pairs.length} pairs of ${[...new Set(pieces.map(({ seconds }) => seconds))].join(", ")} s`,
    of("alone"),
    of("beside"),
    target === "" ? percent(kept) : `**${percent(kept)}** (target ${target})`,
    `${percent(low)} to ${percent(high)}`
  )
}

/** The page, and what of it misses a target. */
export const page = (kept: Kept): { readonly text: string; readonly missed: ReadonlyArray<string> } => {
  const layers = kept.layers === undefined ? undefined : layersOf(kept.layers)
  const pieces = kept.runners ?? []
  const paces = [...new Set(pieces.map(({ rowsPerSecond }) => rowsPerSecond))].sort((a, b) => a - b)
  const at = (pace: number) => pieces.filter(({ rowsPerSecond }) => rowsPerSecond === pace)
  const now = at(ROWS_PER_SECOND)
  const missed = [
    ...(layers?.missed ?? []),
    ...(now.length > 0 && shareOf(pairsOf(now)).kept < limits.runners
      ? [`runners kept less than ${limits.runners * 100} % of their throughput`]
      : []),
    ...(now.length === 0
      ? [`runners were not measured beside a gate that judges ${whole(ROWS_PER_SECOND)} rows a second`]
      : [])
  ]
  const text = `# How fast the workflow gate is

Written by \`make bench-gates\` from what it kept in \`docs/performance/gates.json\`; each part says when it was measured.
${missed.length === 0 ? "All targets were met." : `Missed: ${missed.join("; ")}.`}

## Its layers

${layers?.text ?? "Not measured."}

A function that asks for time or chance is replayed twice, the others by sample: what the two would differ in is what they did not ask for.

## Beside runners

${line("Workflows a second", "Windows", "Alone", "Beside", "Kept", "95 in 100 draws between")}
${line("---", "---", "---", "---", "---", "---")}
${[
  ...paces.map((pace) =>
    besideOf(
      `a gate at ${whole(pace)} rows a second`,
      at(pace),
      pace === ROWS_PER_SECOND ? percent(limits.runners) : ""
    )
  ),
  ...(kept.control === undefined ? [] : [besideOf("control: nobody at work", kept.control, "")])
].join("\n")}

A client and a runner with ${LOAD.inFlight} workflows of ${LOAD.steps} steps in flight, without a pause, in windows by turns: alone, beside, beside, alone. The
figure is what was done in all windows beside, of what was done in all windows alone; the interval is that of 10,000 draws of as many
pairs, with repetition. The control is the same with no gate at all: it shows what the measure tells where there is no difference. A
window is as long as a runner takes from one clearing of what it built to the next, so that each holds one. The database is filled, vacuumed and written to the disk before, and Postgres makes no checkpoint meanwhile.
${[...pieces, ...(kept.control ?? [])].map(({ about }) => by(about)).join("; ")}.

The gate is held in the windows alone, and its clock stands: the windows beside it hold its start, all of its reading and what it then
judges in that time (${pieces.reduce((sum, { ended }) => sum + ended, 0)} gates ended). A gate reads as fast as it can where nobody else works with the database: that is how the layers are measured.
Where others commit more than ${BUSY} transactions a second it judges ${whole(ROWS_PER_SECOND)} rows a second, some ${whole(ROWS_PER_SECOND / 4.4)} executions, or as
many more as let it end in four minutes; what is open it has read at once, and keeps in a file. It has one connection that works, no parallel plan, 32 MB of sort memory, and
\`deliver gate\` has the lowest priority. In a cluster it is a Job with a processor of its own, and takes of runners what it takes of
their database; here it has the same two processors as the runner, its client and Postgres, which have both to themselves when they are alone.
`
  return { text, missed }
}
