/** Puts the migration gate together: the image's files, the database, and the engine's own tables. */

import { join } from "node:path"
import { Context, Effect, Layer } from "effect"
import { Database, layer, scratchSettings } from "../../gates/Database.ts"
import { placeFromEnv } from "../../gates/Evidence.ts"
import * as Image from "../../gates/Image.ts"
import type { Mode } from "../../gates/migrations/Apply.ts"
import * as Lint from "../../gates/migrations/Lint.ts"
import * as Migrate from "../../gates/migrations/Migrate.ts"
import { readFolder } from "../../gates/migrations/MigrationFile.ts"
import { fromSqlError } from "../../gates/migrations/State.ts"
import { SurfaceStatements } from "../../gates/Releases.ts"
import { createClusterTables } from "../../runtime/ClusterStorage.ts"
import { text } from "./databaseFlags.ts"
import { outcomeOf, withDatabase } from "./gateSupport.ts"
import type { Arguments } from "./Verb.ts"

export const migrationsOf = (root: string) => ({
  folder: join(root, "migrations"),
  files: readFolder(join(root, "migrations"))
})

/** The whole gate, with a commit at its end or without. */
export const runMigrations = (args: Arguments, mode: Mode) =>
  withDatabase(
    args,
    Effect.gen(function* () {
      const root = Image.root()
      const { folder, files } = migrationsOf(root)
      const { target, rollout } = placeFromEnv(process.env)
      const place = yield* scratchSettings(
        { databaseUrl: yield* text(args, "database-url"), scratchUrl: yield* text(args, "scratch-url") },
        process.env
      )
      const scratch =
        place === undefined
          ? undefined
          : Layer.build(layer(place)).pipe(Effect.flatMap((context) => Context.get(context, Database).session))
      return yield* Migrate.run({
        release: yield* Image.release(root),
        surface: yield* Image.surface(root, SurfaceStatements),
        files: yield* files,
        squawk: yield* Lint.binary(root),
        mode,
        folder,
        makeEngineTables: createClusterTables.pipe(Effect.mapError(fromSqlError)),
        scratch,
        target,
        rollout
      })
    })
  ).pipe(Effect.map(outcomeOf))
