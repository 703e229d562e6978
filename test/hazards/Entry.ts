/** An entry of the corpus: one change as a developer would make it, and what a gate must say to it. */
import type { Effect, Scope } from "effect"

export type Gate = "surface" | "workflows" | "migrations" | "manifests" | "delivery"

/** What a gate said. */
export interface Said {
  readonly verdict: "passed" | "refused" | "undecided"
  readonly findings: ReadonlyArray<{ readonly rule: string; readonly severity: string; readonly text: string }>
  /** Whether squawk would have caught it by itself. Undefined: it was not asked. */
  readonly squawk?: boolean
}

export interface Entry {
  readonly gate: Gate
  /** What a person would call the change. */
  readonly title: string
  /** Words that the refusal must contain; null for a change that must pass. */
  readonly expect: string | null
  /** A person must look: neither passed nor refused. */
  readonly undecided?: true
  readonly judge: Effect.Effect<Said, never, Scope.Scope>
}

/** Why the gate's answer is not the one that the corpus asks for; undefined when it is. */
export const wrong = ({ expect, undecided }: Entry, { verdict, findings }: Said): string | undefined => {
  const told = findings.map(({ severity, text }) => `${severity} ${text}`).join("\n")
  const wanted = expect === null ? "passed" : undecided ? "undecided" : "refused"
  if (verdict !== wanted) return `${verdict} instead of ${wanted}\n${told}`
  if (expect === null) return undefined
  const grave = findings.filter(({ severity }) => severity !== "note")
  return grave.some(({ text }) => text.includes(expect)) ? undefined : `does not say "${expect}"\n${told}`
}

interface Told {
  readonly rule: string
  readonly severity: string
  readonly what: string
  readonly where: string
  readonly detail?: string | undefined
}

export const saidBy = (verdict: Said["verdict"], findings: ReadonlyArray<Told>): Said => ({
  verdict,
  findings: findings.map(({ rule, severity, what, where, detail }) => ({
    rule,
    severity,
    text: `${rule}: ${what} ${where} ${detail ?? ""}`
  }))
})
