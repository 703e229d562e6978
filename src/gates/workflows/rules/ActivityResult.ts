import { Effect, Either } from "effect"
import { all, decodesExit, type ExecutionRule, fine, type Problem, readable } from "../Rule.ts"
import { findActivity } from "./ActivityGone.ts"

/** A recorded result of an activity that does not decode with this release's schemas. */
export const activityResult: ExecutionRule = {
  name: "activity results",
  how: "decoded",
  judge: ({ workflow, activities }, { declarations }) => {
    const declaration = declarations.get(workflow)
    if (declaration === undefined) return fine
    const judged = activities.map(({ name, reply, release }) => {
      const activity = findActivity(declaration, name)
      if (activity === undefined || reply === undefined) return fine
      const problem = (detail: string, damaged: boolean): ReadonlyArray<Problem> => [
        {
          rule: "activity-result",
          severity: damaged ? "undecided" : "hazard",
          subject: `${workflow} / activity ${activity.name}`,
          what: damaged
            ? `A recorded result of activity ${activity.name} is damaged, or too long to be read.`
            : `Recorded results of activity ${activity.name} can't be read by this release.`,
          why: "The execution reads the result when it goes on, and then fails for good.",
          fix: damaged
            ? "Repair the row from a backup when it is damaged; else let the execution end, or cancel it. Then run the gate again."
            : `Let the schema of ${activity.name} read the old form too (an optional field with a default), or declare the new form under a new name in a new workflow version.`,
          detail: release === undefined ? detail : `recorded by release ${release}: ${detail}`
        }
      ]
      if (reply._tag === "damaged") return Effect.succeed(problem(reply.why, true))
      const exit = resultOf(reply.value)
      if (exit === undefined) return fine
      const read = decodesExit(activity.success, activity.error, exit)
      return read === readable
        ? fine
        : Effect.map(read, Either.match({ onLeft: (why) => problem(why, false), onRight: () => [] }))
    })
    return all(judged)
  }
}

/** The activity's own exit inside the reply; none while it is suspended, or when the engine gave up on it. */
const resultOf = (reply: unknown): unknown => {
  const value = record(record(reply)?.["value"])
  return value?.["_tag"] === "Complete" ? value["exit"] : undefined
}

const record = (value: unknown) =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined
