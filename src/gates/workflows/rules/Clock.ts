import { Effect } from "effect"
import { type ExecutionRule, fine } from "../Rule.ts"
import { clockGone } from "./Deferred.ts"

/** A clock that runs for an open execution, under a name this release does not declare. */
export const clock: ExecutionRule = {
  name: "clocks",
  how: "running ones declared",
  judge: ({ workflow, clocks }, { declarations }) => {
    const declaration = declarations.get(workflow)
    if (declaration === undefined || clocks.length === 0) return fine
    const declared = new Set(Object.values(declaration.clocks).map(({ name }) => name))
    return Effect.succeed(clocks.flatMap(({ name }) => clockGone(workflow, name, declared, "running")))
  }
}
