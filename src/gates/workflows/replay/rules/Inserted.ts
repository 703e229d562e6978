import { declaredName } from "../../../../surface/Declared.ts"
import type { Problem } from "../../Rule.ts"
import { activityKey } from "../Recording.ts"
import type { ReplayRule } from "../Rule.ts"
import { keyOf } from "../Session.ts"
import { lost } from "./NeverAsked.ts"

/** Work that nobody recorded, asked for before work that is recorded: it would come too late. */
export const inserted: ReplayRule = {
  name: "order of work",
  how: "nothing new before what is recorded",
  judge: (replayed, { workflow, activities, clocks }) => {
    const { first, late, beyond } = replayed
    const next = late[0]
    if (next === undefined || first.end !== "waiting" || lost(replayed).length > 0) return []
    // What was begun beside the recorded work, in parallel, is not put before it.
    const begun = new Set([
      ...activities.map(({ name, attempt }) => `activity ${activityKey(name, attempt)}`),
      ...clocks.map(({ name }) => `clock ${activityKey(name, 1)}`)
    ])
    const asked = beyond?.asked ?? first.asked
    const there = asked.findIndex(
      (ask) => ask.kind === "activity" && ask.name === next.name && ask.attempt === next.attempt
    )
    const frontier = asked
      .slice(0, there === -1 ? undefined : there)
      .find((ask) => ask.answer !== "recorded" && ask.answer !== "failed" && !begun.has(keyOf(ask)))
    if (frontier === undefined) return []
    const done = declaredName(next.name)
    const what = `${frontier.kind} ${declaredName(frontier.name)}`
    return [
      {
        rule: "replay-inserted",
        severity: "hazard",
        subject: `${workflow} / ${what}`,
        what: `The code of this release asks for ${what} before activity ${done}, which open executions have already done.`,
        why: "Effect finds recorded work by name and not by order: the new work comes after what it was written to precede, and nothing reports it.",
        fix: `Put it behind the work that open executions have done, or add a new workflow version beside this one.`
      } satisfies Problem
    ]
  }
}
