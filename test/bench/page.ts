/** The report of `make bench`, as a page and as a plot. */

/** Medians; times in ms, `statements` to `serverMs` a workflow with `inFlight` in flight, `p50` and `p99` with one. */
export interface Row {
  readonly name: string
  readonly perSecond: number
  /** Of the slowest and the fastest round. */
  readonly slowest: number
  readonly fastest: number
  readonly p50: number
  readonly p99: number
  readonly statements: number
  readonly commits: number
  readonly workerMs: number
  readonly driverMs: number
  readonly serverMs: number
}

export interface Report {
  readonly rows: ReadonlyArray<Row>
  /** Rounds of four single-row transactions a second. */
  readonly floor: number | undefined
  readonly rounds: number
  readonly seconds: number
  readonly inFlight: number
  readonly machine: string
  readonly day: string
  /** Load average of the last minute, before it began. */
  readonly load: number
}

const called = ({ rows }: Report, name: string) => rows.find((row) => row.name.startsWith(name))

export const page = (report: Report): string => {
  const dbos = called(report, "DBOS")
  const restate = called(report, "Restate")
  // An engine with a log of its own sends no statements.
  const counted = (value: number) => (Number.isNaN(value) ? "–" : value.toFixed(1))
  const ratio = (value: number, other: number | undefined) =>
    other === undefined ? "" : `${(value / other).toFixed(2)}`
  const lines = report.rows.map((row) =>
    [
      row.name,
      `${row.perSecond.toFixed(0)} (${row.slowest.toFixed(0)}–${row.fastest.toFixed(0)})`,
      ratio(row.perSecond, dbos?.perSecond),
      ratio(row.perSecond, restate?.perSecond),
      report.floor === undefined ? "" : `${((100 * row.perSecond) / report.floor).toFixed(1)} %`,
      `${row.p50.toFixed(1)} / ${row.p99.toFixed(1)}`,
      counted(row.statements),
      counted(row.commits),
      `${row.workerMs === 0 ? "–" : row.workerMs.toFixed(1)} / ${row.driverMs.toFixed(1)} / ${row.serverMs.toFixed(1)}`
    ].join(" | ")
  )
  return `# Performance

Written by \`make bench\` (${report.day}): ${report.machine}. Absolute figures are this machine's; ratios are what to look at.
The load average before it began was ${report.load.toFixed(1)}${report.load > 1 ? ": other work took part of the processors, so absolute figures are low and rounds lie apart. Write this page anew on a quiet machine" : ""}.

A workflow of two steps that do nothing and return a small JSON, started and awaited, ${report.inFlight} in flight. Engines are started,
measured for ${report.seconds} s and ended in turn, ${report.rounds} rounds; medians. \`one process\`: the client is in the worker's process. Otherwise
client and runners are processes of their own, on the same processors as Postgres. \`ours\` is \`STEP_ENGINE=journal\` and
\`MESSAGE_STORAGE=group\`, \`stock Effect\` sets both to \`stock\`. Restate keeps its own log and not Postgres. Latency is that of one workflow at a time.

![Completed workflows a second](performance.svg)

| Engine | workflows/s (slowest–fastest round) | ratio to DBOS | to Restate | share of the floor | p50 / p99 alone, ms | statements | commits | CPU worker / client / server, ms |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
${lines.map((line) => `| ${line} |`).join("\n")}
${
  report.floor === undefined
    ? "\npgbench was not installed, so there is no floor."
    : `\nThe floor: pgbench, 50 connections, four single-row transactions a round, ${report.floor.toFixed(0)} rounds a second.`
}
Statements, commits and CPU are a workflow's; commits include those of reads. \`test/bench/engines/Engine.ts\` says how each engine is started.
`
}

const WIDTH = 720
const LABEL = 270
const BAR = 22
const GAP = 12

/** Horizontal bars, longest the best: readable in a browser, light or dark. */
export const plot = ({ rows, machine }: Report): string => {
  const top = 44
  const height = top + rows.length * (BAR + GAP) + 24
  const most = Math.max(...rows.map(({ perSecond }) => perSecond))
  const scale = (WIDTH - LABEL - 70) / most
  const bars = rows.map(({ name, perSecond }, index) => {
    const y = top + index * (BAR + GAP)
    const width = (perSecond * scale).toFixed(1)
    const middle = y + BAR / 2 + 4
    return `<text x="${LABEL - 10}" y="${middle}" text-anchor="end">${name}</text><rect x="${LABEL}" y="${y}" width="${width}" height="${BAR}" rx="3" fill="${name.startsWith("ours") ? "#2f6fde" : "#8a94a6"}"/><text x="${LABEL + Number(width) + 8}" y="${middle}">${perSecond.toFixed(0)}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#24292f">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="${LABEL}" y="24" font-size="15" font-weight="600">Completed workflows a second, 50 in flight</text>
${bars.join("\n")}
<text x="${LABEL}" y="${height - 8}" font-size="11" fill="#57606a">${machine}</text>
</svg>
`
}
