/**
 * What a gate saw and how it decided: one record, as JSON for machines and as text for people.
 *
 * Every gate makes exactly one of these per run, also when it passes. It is printed, and kept in `agents.evidence` of the
 * database that was judged: a hook's Job and its logs are deleted when it fails (Skaffold force-deletes it), so a record of
 * our own is the only one that lasts.
 */
import { Effect, Schema } from "effect"
import { ExitCode } from "../domain/ExitCode.ts"

/** `hazard` refuses the release, `undecided` asks for a person, `note` is only worth knowing. */
export const Severity = Schema.Literal("hazard", "undecided", "note")
export type Severity = typeof Severity.Type

/** One thing a gate found, in the order in which a person wants to read it. */
export const Finding = Schema.Struct({
  /** The rule's name in kebab-case: stable, so that docs and tests can refer to it. */
  rule: Schema.String,
  severity: Severity,
  /** What happened. One sentence. */
  what: Schema.String,
  /** File, statement, workflow, execution: where to look. */
  where: Schema.String,
  /** Why it matters. */
  why: Schema.String,
  /** What to do. */
  fix: Schema.String,
  /** The thing's own words: a Postgres error, a decode error. */
  detail: Schema.optional(Schema.String)
})
export type Finding = typeof Finding.Type

/** One check that ran, with what it covered: "prepared 41 statements of 2 releases". A check that covers nothing says so. */
export const Check = Schema.Struct({ name: Schema.String, result: Schema.String })
export type Check = typeof Check.Type

export const Verdict = Schema.Literal("passed", "refused", "undecided")
export type Verdict = typeof Verdict.Type

export const Evidence = Schema.Struct({
  format: Schema.Literal(1),
  /** `migrations`, `workflows`, `rollback`, … */
  gate: Schema.String,
  /** The release that was judged: a commit. */
  release: Schema.String,
  verdict: Verdict,
  /** One sentence for a list. */
  summary: Schema.String,
  /** Where it ran: Cloud Deploy's target, rollout and phase, when they are known. */
  target: Schema.optional(Schema.String),
  rollout: Schema.optional(Schema.String),
  phase: Schema.optional(Schema.String),
  checks: Schema.Array(Check),
  findings: Schema.Array(Finding),
  startedAt: Schema.DateFromString,
  finishedAt: Schema.DateFromString
})
export type Evidence = typeof Evidence.Type

/** The gravest finding decides: a hazard refuses, else something undecided needs a person. */
export const verdictOf = (findings: ReadonlyArray<Finding>): Verdict =>
  findings.some((finding) => finding.severity === "hazard")
    ? "refused"
    : findings.some((finding) => finding.severity === "undecided")
      ? "undecided"
      : "passed"

export const exitCodeOf = (verdict: Verdict): ExitCode =>
  verdict === "passed" ? ExitCode.passed : verdict === "refused" ? ExitCode.refused : ExitCode.undecided

/** Cloud Deploy hands its names to hook and verify containers; elsewhere they are simply absent. */
export const placeFromEnv = (
  env: Readonly<Record<string, string | undefined>>
): Pick<Evidence, "target" | "rollout" | "phase"> => {
  const given = (name: string) => {
    const value = env[name]
    return value === undefined || value === "" ? undefined : value
  }
  const target = given("CLOUD_DEPLOY_TARGET")
  const rollout = given("CLOUD_DEPLOY_ROLLOUT")
  const phase = given("CLOUD_DEPLOY_PHASE")
  return {
    ...(target === undefined ? {} : { target }),
    ...(rollout === undefined ? {} : { rollout }),
    ...(phase === undefined ? {} : { phase })
  }
}

/** Puts a record together: the verdict follows from the findings, the place from Cloud Deploy's environment. */
export const make = (input: {
  readonly gate: string
  readonly release: string
  readonly summary: (verdict: Verdict) => string
  readonly checks: ReadonlyArray<Check>
  readonly findings: ReadonlyArray<Finding>
  readonly startedAt: Date
  readonly env?: Readonly<Record<string, string | undefined>>
}): Effect.Effect<Evidence> =>
  Effect.sync(() => {
    const verdict = verdictOf(input.findings)
    return {
      format: 1 as const,
      gate: input.gate,
      release: input.release,
      verdict,
      summary: input.summary(verdict),
      ...placeFromEnv(input.env ?? process.env),
      checks: input.checks,
      findings: input.findings,
      startedAt: input.startedAt,
      finishedAt: new Date()
    }
  })

const encode = Schema.encodeSync(Evidence)

/** The record as plain JSON, for `--json` and for the database. */
export const toJson = (evidence: Evidence): typeof Evidence.Encoded => encode(evidence)

const heading: Readonly<Record<Severity, string>> = { hazard: "REFUSED", undecided: "UNDECIDED", note: "note" }
const rank: Readonly<Record<Severity, number>> = { hazard: 0, undecided: 1, note: 2 }

const indented = (text: string, by: string) => text.split("\n").join(`\n${by}`)

const findingText = (finding: Finding): string =>
  [
    `${heading[finding.severity]}  ${finding.what}`,
    `  where   ${finding.where}`,
    ...(finding.detail === undefined ? [] : [`  says    ${indented(finding.detail, "          ")}`]),
    `  why     ${finding.why}`,
    `  do      ${indented(finding.fix, "          ")}`,
    `  rule    ${finding.rule}`
  ].join("\n")

/** The record as a page a person can read: the verdict first, then what refused it, then what was checked. */
export const toText = (evidence: Evidence): string => {
  const place = [evidence.target, evidence.rollout, evidence.phase].filter((part) => part !== undefined).join(" / ")
  const seconds = (evidence.finishedAt.getTime() - evidence.startedAt.getTime()) / 1000
  return [
    `gate ${evidence.gate}: ${evidence.verdict.toUpperCase()}. ${evidence.summary}`,
    `release ${evidence.release}${place === "" ? "" : `   at ${place}`}   ${seconds.toFixed(1)} s`,
    ...[...evidence.findings]
      .sort((a, b) => rank[a.severity] - rank[b.severity])
      .flatMap((finding) => ["", findingText(finding)]),
    ...(evidence.checks.length === 0 ? [] : ["", "Checked"]),
    ...evidence.checks.map((check) => `  ${check.name.padEnd(20)} ${check.result}`)
  ].join("\n")
}
