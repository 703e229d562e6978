/** `deliver gate workflows` */
import { Effect } from "effect"
import { databaseFlags } from "./databaseFlags.ts"
import type { Verb } from "./Verb.ts"

export const gateWorkflowsVerb: Verb = {
  name: "gate workflows",
  summary: "Can this release carry the work in flight, beside the releases that run? An older image: may we roll back?",
  example: "deliver gate workflows --database-url postgres://reader@127.0.0.1:5432/effect_cluster",
  flags: {
    ...databaseFlags,
    release: { type: "string", value: "COMMIT", description: "the release's name; else the one of this image" }
  },
  positionals: [],
  run: (args) =>
    Effect.flatMap(
      Effect.promise(() => import("./workflows.ts")),
      ({ runWorkflows }) => runWorkflows(args)
    )
}
