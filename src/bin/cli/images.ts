/** `deliver images` */
import { join } from "node:path"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { CliError, type Verb } from "./Verb.ts"

export const imagesVerb: Verb = {
  name: "images",
  summary: "build a commit's images for the rehearsal and print them as gcloud's --images wants them",
  example: 'gcloud deploy releases create r-1 --delivery-pipeline=agents --source=. --images="$(deliver images HEAD)"',
  flags: {},
  positionals: ["COMMIT?"],
  run: ({ positionals }) =>
    Effect.gen(function* () {
      const [Git, Release] = yield* Effect.promise(() =>
        Promise.all([import("../../rehearsal/release/Git.ts"), import("../../rehearsal/release/Release.ts")])
      )
      const repository = yield* Git.open(process.cwd())
      const commit = yield* Git.resolveCommit(repository, positionals[0] ?? "HEAD")
      const release = yield* Release.make({ repository, cache: join(repository.root, ".rehearsal"), commit })
      const images = Object.entries(release.images).map(([name, image]) => `${name}=${image}`)
      return { exitCode: ExitCode.passed, text: images.join(","), json: release.images }
    }).pipe(
      Effect.mapError(
        (error) =>
          new CliError({
            exitCode: error._tag === "PreconditionMissing" ? ExitCode.preconditionMissing : ExitCode.toolFailed,
            message: error.message
          })
      )
    )
}
