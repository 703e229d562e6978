/** `deliver gate migrations` */
import { Effect } from "effect"
import { databaseFlags, scratchFlag } from "./databaseFlags.ts"
import type { Verb } from "./Verb.ts"

export const gateMigrationsVerb: Verb = {
  name: "gate migrations",
  summary: "Would the new migrations break a release that may still run? Commits nothing.",
  example: "deliver gate migrations --database-url postgres://migrator@127.0.0.1:5432/effect_cluster",
  flags: { ...databaseFlags, ...scratchFlag },
  positionals: [],
  run: (args) =>
    Effect.flatMap(
      Effect.promise(() => import("./migrations.ts")),
      ({ runMigrations }) => runMigrations(args, "prove")
    )
}
