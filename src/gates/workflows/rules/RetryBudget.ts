import { Effect } from "effect"
import { declaredName, retriesOf } from "../../../surface/Declared.ts"
import { type ExecutionRule, fine, type Problem } from "../Rule.ts"
import { findActivity } from "./ActivityGone.ts"

/** An activity may have used more attempts than this release grants: its code would stop at an earlier one, which failed. */
export const retryBudget: ExecutionRule = {
  name: "retries",
  how: "attempts used, held against those granted",
  judge: ({ workflow, activities }, { declarations }) => {
    const declaration = declarations.get(workflow)
    if (declaration === undefined) return fine
    const used = new Map<string, number>()
    for (const { name, attempt } of activities) used.set(name, Math.max(attempt, used.get(name) ?? 0))
    const found = new Map<string, Problem>()
    for (const [durableName, attempt] of used) {
      const activity = findActivity(declaration, durableName)
      if (activity === undefined || attempt <= retriesOf(activity) + 1) continue
      const name = declaredName(durableName)
      found.set(name, {
        rule: "retry-budget",
        severity: "hazard",
        subject: `${workflow} / activity ${name}`,
        what: `Open executions have used ${attempt} attempts of activity ${name} or more; this release grants ${retriesOf(activity) + 1}.`,
        why: "The code of this release stops at the attempt that failed, and does not see the ones after it: the execution fails with an error that it had already overcome, or is about to.",
        fix: `Keep at least ${attempt - 1} retries of ${name} until these executions end, or add a new workflow version beside this one.`
      })
    }
    return found.size === 0 ? fine : Effect.succeed([...found.values()])
  }
}
