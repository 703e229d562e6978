/** `deliver migrate up` and `deliver migrate status` */
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { databaseFlags, scratchFlag } from "./databaseFlags.ts"
import type { Verb } from "./Verb.ts"

export const migrateUpVerb: Verb = {
  name: "migrate up",
  summary: "Apply the new migrations, each only if every release that may still run goes on working",
  example: "DATABASE_SECRET_DIR=/var/run/secrets/agents/database deliver migrate up",
  flags: { ...databaseFlags, ...scratchFlag },
  positionals: [],
  run: (args) =>
    Effect.flatMap(
      Effect.promise(() => import("./migrations.ts")),
      ({ runMigrations }) => runMigrations(args, "commit")
    )
}

export const migrateStatusVerb: Verb = {
  name: "migrate status",
  summary: "Which migrations are applied, which are new, and whether the history is as it was",
  example: "deliver migrate status --json",
  flags: databaseFlags,
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { migrationsOf } = yield* Effect.promise(() => import("./migrations.ts"))
      const { told, withDatabase } = yield* Effect.promise(() => import("./gateSupport.ts"))
      const Image = yield* Effect.promise(() => import("../../gates/Image.ts"))
      const Migrate = yield* Effect.promise(() => import("../../gates/migrations/Migrate.ts"))
      const files = yield* told(migrationsOf(Image.root()).files)
      const { history, plan } = yield* withDatabase(args, Migrate.status(files))
      const names = [
        ...files.map(({ name }) => name),
        ...history.applied.filter((name) => !files.some((file) => file.name === name))
      ]
      const rows = names.map((name) => {
        const file = files.find((one) => one.name === name)
        const applied = history.applied.includes(name)
        const sum = history.checksums.get(name)
        return {
          name,
          phase: file?.phase ?? null,
          state: !applied
            ? "new"
            : file === undefined
              ? "not in this image"
              : sum !== undefined && sum !== file.sha256
                ? "edited"
                : "applied"
        }
      })
      const findings = plan._tag === "Refuse" || plan._tag === "Older" ? plan.findings : []
      const words = {
        UpToDate: "Nothing to apply.",
        Apply: `${rows.filter(({ state }) => state === "new").length} new.`,
        Older: "This image is older than the database: it would apply nothing.",
        Refuse: "The history refuses these files."
      }[plan._tag]
      return {
        exitCode: plan._tag === "Refuse" ? ExitCode.refused : ExitCode.passed,
        text: [
          ...rows.map(({ name, phase, state }) => `${name.padEnd(36)} ${(phase ?? "").padEnd(9)} ${state}`),
          words,
          ...findings.map(({ what, fix }) => `  ${what} ${fix}`)
        ].join("\n"),
        json: { plan: plan._tag, migrations: rows, findings }
      }
    })
}
