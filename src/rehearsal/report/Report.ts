/** What a rehearsal showed: one record, kept as JSON and printed as a table. */
import { Schema } from "effect"
import * as Live from "../Live.ts"

export const Step = Schema.Struct({
  /** `r-1a2b3c4d to prod, one-replica`. */
  name: Schema.String,
  target: Schema.String,
  release: Schema.String,
  durationMs: Schema.Number,
  gates: Schema.Array(Schema.Struct({ name: Schema.String, verdict: Schema.String, durationMs: Schema.Number })),
  outcome: Schema.Literal("succeeded", "refused", "failed"),
  /** Of a phase before the last: how many runners of each release were live when it ended. */
  live: Schema.optional(Schema.Array(Schema.Struct({ release: Schema.String, runners: Schema.Int }))),
  /** Whether this is the outcome that the rehearsal is there to show. */
  expected: Schema.Boolean
})
export type Step = typeof Step.Type

export class Report extends Schema.Class<Report>("Report")({
  /** The last target of the walk. */
  production: Schema.String,
  /** Requests on it that failed while releases walked through it, by the load's own count. */
  requestsFailed: Schema.Int,
  /** Accepted runs that the database does not hold, or that never ended; over all targets. */
  executionsLost: Schema.Int,
  /** Events that a client or the database saw more than once; over all targets. */
  eventsDoubled: Schema.Int,
  passed: Schema.Boolean,
  commit: Schema.String,
  durationMs: Schema.Number,
  requests: Schema.Int,
  runs: Schema.Int,
  /** Milliseconds from a run's start to its acceptance. */
  latency: Schema.Struct({ p50: Schema.Number, p95: Schema.Number }),
  /** Milliseconds; empty when none was seen. */
  takeovers: Schema.Array(Schema.Number),
  /** Milliseconds from each runner's process start to its first shards. */
  runnerStarts: Schema.Array(Schema.Number),
  steps: Schema.Array(Step),
  /** Why it did not pass; empty when it did. */
  problems: Schema.Array(Schema.String)
}) {}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: ReadonlyArray<string>) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd()
  return [line(rows[0]!), widths.map((width) => "─".repeat(width)).join("  "), ...rows.slice(1).map(line)]
}

const outcomeOf = (step: Step) =>
  step.expected
    ? step.outcome === "refused"
      ? "refused, as it must be"
      : step.outcome
    : `${step.outcome.toUpperCase()}`

const measured = (name: string, values: ReadonlyArray<number>): ReadonlyArray<string> => {
  const sorted = [...values].sort((a, b) => a - b)
  if (sorted.length === 0) return []
  const median = sorted[Math.floor((sorted.length - 1) / 2)]!
  return [
    `${name.padEnd(18)} ${seconds(median)}${sorted.length === 1 ? "" : ` median of ${sorted.length}, ${seconds(sorted[0]!)} to ${seconds(sorted.at(-1)!)}`}`
  ]
}

/** The table that ends a rehearsal. */
export const print = (report: Report): string =>
  [
    ...table([
      ["step", "duration", "gates", "outcome"],
      ...report.steps.map((step) => [
        step.name,
        seconds(step.durationMs),
        step.gates.map((gate) => `${gate.name} ${gate.verdict}`).join(", ") || "none",
        outcomeOf(step)
      ])
    ]),
    "",
    `requests failed    ${report.requestsFailed} of ${report.requests} on ${report.production} (p50 ${Math.round(report.latency.p50)} ms, p95 ${Math.round(report.latency.p95)} ms)`,
    `executions lost    ${report.executionsLost} of ${report.runs} over all targets`,
    `events doubled     ${report.eventsDoubled}`,
    ...report.steps.flatMap(({ name, live }) =>
      live === undefined ? [] : [`runners live       ${Live.print(live)}, at the end of ${name}`]
    ),
    ...measured("takeover", report.takeovers),
    ...measured("runner to shards", report.runnerStarts),
    `took               ${seconds(report.durationMs)}`,
    "",
    ...(report.passed
      ? ["PASSED: both releases reached production, the bad one was refused, the rollback held, nothing was lost."]
      : ["FAILED:", ...report.problems.map((problem) => `  - ${problem}`)])
  ].join("\n")
