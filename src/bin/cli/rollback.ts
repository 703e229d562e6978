/** `deliver rollback` */
import { Effect } from "effect"
import { databaseFlags } from "./databaseFlags.ts"
import type { Verb } from "./Verb.ts"

export const rollbackVerb: Verb = {
  name: "rollback",
  summary: "Back to the last release that was good on a target, if it can carry the work in flight",
  example: "deliver rollback prod --dry-run --database-url postgres://reader@127.0.0.1:5432/effect_cluster",
  flags: {
    ...databaseFlags,
    to: { type: "string", value: "RELEASE", description: "a commit or a Cloud Deploy release that was good there" },
    "dry-run": {
      type: "boolean",
      description: "choose and judge, change nothing; Cloud Deploy is asked if it is known"
    },
    automated: {
      type: "boolean",
      description: "nobody looks: never roll a rollback back, never choose another release"
    },
    settled: {
      type: "string",
      value: "MINUTES",
      default: "10",
      description: "so long a release must have held the target to be good by itself"
    },
    images: {
      type: "string",
      value: "FOLDER",
      default: ".rehearsal/releases",
      description: "where built images lie as folders; their own gates judge"
    },
    project: { type: "string", value: "ID", description: "else CLOUDSDK_CORE_PROJECT" },
    region: { type: "string", value: "REGION", description: "else CLOUDSDK_DEPLOY_REGION" },
    "delivery-pipeline": { type: "string", value: "NAME", default: "agents", description: "the pipeline" }
  },
  positionals: ["TARGET"],
  run: (args) =>
    Effect.flatMap(
      Effect.promise(() => import("./rollbackRun.ts")),
      ({ runRollback }) => runRollback(args)
    )
}
