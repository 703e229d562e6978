/** `deliver lint` */
import { existsSync } from "node:fs"
import { join, resolve } from "node:path"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { CliError, type Verb } from "./Verb.ts"

export const lintVerb: Verb = {
  name: "lint",
  summary:
    "Read clouddeploy/, skaffold.yaml and cloudbuild*.yaml strictly: keys, types, and what they say of one another",
  example: "deliver lint",
  flags: {},
  positionals: ["FOLDER?"],
  run: (args) =>
    Effect.gen(function* () {
      const root = resolve(args.positionals[0] ?? ".")
      if (!existsSync(join(root, "clouddeploy"))) {
        return yield* new CliError({
          exitCode: ExitCode.preconditionMissing,
          message: `${root} has no folder "clouddeploy". Run this at the root of the repository, or name its folder: deliver lint FOLDER.`
        })
      }
      const { lint, showProblem } = yield* Effect.promise(async () => ({
        ...(await import("../../rehearsal/clouddeploy/Lint.ts")),
        ...(await import("../../rehearsal/clouddeploy/YamlFile.ts"))
      }))
      const { files, problems } = yield* lint(root)
      return {
        exitCode: problems.length === 0 ? ExitCode.passed : ExitCode.refused,
        text:
          problems.length === 0
            ? `lint: PASSED. Read ${files.join(", ")}.`
            : [
                `lint: ${problems.length === 1 ? "a mistake" : `${problems.length} mistakes`}`,
                ...problems.map((problem) => `  ${showProblem(problem)}`)
              ].join("\n"),
        json: { files, problems }
      }
    })
}
