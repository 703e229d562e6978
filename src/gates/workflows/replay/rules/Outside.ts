import type { Problem } from "../../Rule.ts"
import type { ReplayRule } from "../Rule.ts"

/** A workflow function that reaches for the world outside of its activities. */
export const outside: ReplayRule = {
  name: "world outside",
  how: "touched in activities alone",
  judge: ({ first }, { workflow }) =>
    first.outside.map(
      (what): Problem => ({
        rule: "replay-outside",
        severity: "hazard",
        subject: `${workflow} / ${what}`,
        what: `The function of ${workflow} uses ${what} outside of an activity.`,
        why: "What it does there is not recorded: it happens again each time the execution is resumed, and may answer something else.",
        fix: "Move it into an activity."
      })
    )
}
