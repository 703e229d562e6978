/** A difference between two surfaces, in words a person can act on; and how a changed shape becomes one. */
import { misfits } from "./Fits.ts"
import type { Shape } from "./Shape.ts"

export type Verdict = "refuse" | "undecided" | "note"

export interface Difference {
  /** The rule's name in kebab-case: stable. */
  readonly rule: string
  readonly verdict: Verdict
  /** What it is about: `AgentWorkflow`, `AgentWorkflow / activity Plan`, `Agent.Ask`. */
  readonly name: string
  readonly what: string
  readonly why: string
  readonly fix: string
}

/** What can still be met. Names matter to executions that are under way; shapes to two releases that run at once. */
export interface Assumptions {
  /** Whether executions of this workflow are under way. */
  readonly open: (workflow: string) => boolean
  /** Whether one of them has begun this activity. Its declared name; absent: every open execution may have. */
  readonly begun?: (workflow: string, activity: string) => boolean
  /**
   * Whether processes of the old release run while those of the new one do. When they don't, what the old one wrote is all
   * there is, and decoding it says more than any comparison of shapes.
   */
  readonly sideBySide: boolean
}

/** Without a database everything must be assumed: `surface diff`, a pull request. */
export const everything: Assumptions = { open: () => true, sideBySide: true }

const VERSION = "Keep what is there, and put the new form beside it under a new name (a new workflow version, say)"

const worst = (issues: ReadonlyArray<{ readonly verdict: "refuse" | "undecided" }>): "refuse" | "undecided" =>
  issues.some((issue) => issue.verdict === "refuse") ? "refuse" : "undecided"

export interface Part {
  readonly rule: string
  readonly name: string
  /** `payload`, `success`, … */
  readonly part: string
  readonly old: Shape
  readonly new: Shape
  readonly whenNewReads: string
  readonly whenOldReads: string
}

/** The differences of one shape, in both directions. `soften` is what reach makes of a verdict. */
export const changed = (part: Part, soften: (verdict: Verdict) => Verdict): ReadonlyArray<Difference> => {
  const direction = (writer: Shape, reader: Shape, who: "new" | "old", why: string): ReadonlyArray<Difference> => {
    const issues = misfits(writer, reader)
    if (issues.length === 0) return []
    const shown = issues.slice(0, 4).map(({ path, why }) => `${part.part}${path}: ${why}`)
    const more = issues.length > shown.length ? `; and ${issues.length - shown.length} more` : ""
    const verdict = worst(issues)
    const can = verdict === "refuse" ? "can't read" : "may not be able to read"
    return [
      {
        rule: part.rule,
        verdict: soften(verdict),
        name: part.name,
        what:
          who === "new"
            ? `The new release ${can} the ${part.part} that the old one writes (${shown.join("; ")}${more}).`
            : `The old release ${can} the ${part.part} that the new one writes (${shown.join("; ")}${more}).`,
        why,
        fix:
          who === "new"
            ? `${VERSION}; or make the addition optional, with a default.`
            : `Add it in two releases: the first only reads the new form, the next writes it. Or: ${VERSION.toLowerCase()}.`
      }
    ]
  }
  return [
    ...direction(part.old, part.new, "new", part.whenNewReads),
    ...direction(part.new, part.old, "old", part.whenOldReads)
  ]
}

export const notWorseThan =
  (limit: Verdict) =>
  (verdict: Verdict): Verdict =>
    limit === "note" ? "note" : verdict

export const keys = (record: Readonly<Record<string, unknown>>) => Object.keys(record).sort()
