/**
 * The gates of the older image: its own surface, its own handlers, its own statements. Nothing of this release judges.
 *
 * Where images lie as folders (the rehearsal), they are run from there. Elsewhere only a cluster can run them, and there the
 * rollback's own rollout does it before it changes anything.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { Data, Effect, Schema } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { Evidence } from "../Evidence.ts"

/** The older image's gate ended without a verdict. */
export class OlderGateFailed extends Data.TaggedError("OlderGateFailed")<{
  readonly exitCode: ExitCode
  readonly message: string
}> {}

const Built = Schema.parseJson(Schema.Struct({ commit: Schema.String }))

/** `app/` of the image of a commit, below a folder of built images; undefined where it was not built. */
export const find = (images: string, commit: string): Effect.Effect<string | undefined> =>
  Effect.promise(async () => {
    for (const name of existsSync(images) ? (await readdir(images)).sort() : []) {
      const app = join(images, name, "agents", "app")
      const text = await readFile(join(app, "release.json"), "utf8").catch(() => undefined)
      if (text === undefined) continue
      const read = Schema.decodeUnknownOption(Built)(text)
      if (read._tag === "Some" && read.value.commit === commit) return app
    }
    return undefined
  })

/** The gate hooks are given ten minutes; this one ends as well. */
const TIMEOUT_MS = 5 * 60_000
const OUTPUT_BYTES = 32 * 1024 * 1024

const VERDICTS: ReadonlyArray<number> = [ExitCode.passed, ExitCode.refused, ExitCode.undecided]

/** Runs one gate of the image at `app` and answers its evidence. */
export const run = (
  app: string,
  gate: "workflows" | "migrations",
  options: {
    readonly databaseUrl: string | undefined
    readonly env: Readonly<Record<string, string | undefined>>
  }
): Effect.Effect<typeof Evidence.Type, OlderGateFailed> =>
  Effect.async<typeof Evidence.Type, OlderGateFailed>((resume) => {
    const args = [join(app, "deliver.js"), "gate", gate, "--json"]
    if (options.databaseUrl !== undefined) args.push("--database-url", options.databaseUrl)
    const env = { ...options.env, AGENT_IMAGE_ROOT: app }
    const settings = { env, timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES }
    const child = execFile(process.execPath, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code ?? 1)
      const evidence = Schema.decodeUnknownOption(Schema.parseJson(Evidence))(stdout)
      if (VERDICTS.includes(code) && evidence._tag === "Some") return resume(Effect.succeed(evidence.value))
      resume(
        new OlderGateFailed({
          exitCode: code === ExitCode.preconditionMissing ? code : ExitCode.toolFailed,
          message: `The ${gate} gate of the older image gave no verdict (exit code ${code}), so nothing was rolled back. Its words: ${stderr.trim().split("\n").slice(-5).join("\n") || "none"}`
        })
      )
    })
    return Effect.sync(() => child.kill())
  })
