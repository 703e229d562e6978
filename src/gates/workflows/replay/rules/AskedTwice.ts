import { declaredName } from "../../../../surface/Declared.ts"
import type { Problem } from "../../Rule.ts"
import type { ReplayRule } from "../Rule.ts"
import { keyOf } from "../Session.ts"

/** Two activities of one name in one execution. */
export const askedTwice: ReplayRule = {
  name: "names of work",
  how: "each asked for once",
  judge: ({ first }, { workflow }) => {
    const seen = new Set<string>()
    const twice = new Map<string, string>()
    for (const ask of first.asked) {
      // Waiting twice for one answer is waiting for one answer.
      if (ask.kind === "deferred" || ask.kind === "workflow") continue
      const key = keyOf(ask)
      if (seen.has(key)) twice.set(`${ask.kind} ${declaredName(ask.name)}`, ask.name)
      seen.add(key)
    }
    return [...twice].map(([what, name]): Problem => {
      const keyed = name.includes("#")
      return {
        rule: "replay-asked-twice",
        // Keys come from the execution's own data, and so would with the release before.
        severity: keyed ? "note" : "hazard",
        subject: `${workflow} / ${what}`,
        what: `One execution asks for ${what} twice.`,
        why: "Work is found by name: the second is answered with what the first did, and is never carried out.",
        fix: keyed ? "Give each its own key." : "Give each its own name, or declare it keyed and give each its key."
      }
    })
  }
}
