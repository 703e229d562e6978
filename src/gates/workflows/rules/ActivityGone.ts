import { Effect } from "effect"
import { type AnyDeclaration, declaredName } from "../../../surface/Declared.ts"
import { type ExecutionRule, fine, type Problem } from "../Rule.ts"

/** Names the library makes up itself: sleeps in memory and races. They belong to clocks, not to declared activities. */
const ofTheLibrary = (name: string) => name.startsWith("DurableClock/") || name.startsWith("raceAll/")

export const findActivity = (declaration: AnyDeclaration, durableName: string) =>
  Object.values(declaration.activities).find(
    ({ name, keyed }) => (keyed === true ? declaredName(durableName) : durableName) === name
  )

/** An activity that an open execution has begun or finished, and that this release does not declare. */
export const activityGone: ExecutionRule = {
  name: "activities",
  how: "names of begun ones declared",
  judge: ({ workflow, activities }, { declarations, newActivities }) => {
    const declaration = declarations.get(workflow)
    if (declaration === undefined) return fine
    const gone = new Set(
      activities
        .filter(({ name }) => !ofTheLibrary(name) && findActivity(declaration, name) === undefined)
        .map(({ name }) => declaredName(name))
    )
    if (gone.size === 0) return fine
    const added = newActivities(workflow)
    const removedOnly = added !== undefined && added.length === 0
    return Effect.succeed(
      [...gone].map(
        (name): Problem => ({
          rule: "activity-gone",
          severity: removedOnly ? "undecided" : "hazard",
          subject: `${workflow} / activity ${name}`,
          what: `Open executions of ${workflow} are past activity ${name}, and this release does not declare it${
            added !== undefined && added.length > 0 ? ` (it does declare ${added.join(", ")}, which is new)` : ""
          }.`,
          why: removedOnly
            ? `What ${name} did is recorded and would never be asked for. Nothing new stands in its place, so nothing need run twice; but if its work moved into another activity, it would.`
            : "Effect finds recorded work by name. Under another name the work is not found: it is done a second time, with all its effects.",
          fix: removedOnly
            ? `Look at where the work of ${name} went. If nowhere, a person may let the release pass; else keep ${name} until these executions end.`
            : `Keep the name ${name} in ${workflow}. To rename it, add a new workflow version beside this one and let these executions end.`
        })
      )
    )
  }
}
