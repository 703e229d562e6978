/** The page's files: bundled once, from source, when the first browser asks. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { ToolFailed } from "../Errors.ts"

export interface Assets {
  readonly html: string
  readonly script: string
  readonly style: string
}

const FOLDER = join(import.meta.dirname, "page")

const bundle = Effect.tryPromise({
  try: async (): Promise<Assets> => {
    // Loaded when it is needed: who drives the server with gcloud alone does not wait for it.
    const { build } = await import("esbuild")
    const built = await build({
      entryPoints: [join(FOLDER, "main.tsx")],
      bundle: true,
      write: false,
      format: "esm",
      target: "es2022",
      jsx: "automatic",
      jsxImportSource: "preact",
      legalComments: "none",
      minify: true,
      logLevel: "silent"
    })
    const read = (name: string) => readFile(join(FOLDER, name), "utf8")
    return { html: await read("index.html"), script: built.outputFiles[0]!.text, style: await read("style.css") }
  },
  catch: (cause) =>
    new ToolFailed({
      message: `The console's page could not be built: ${cause instanceof Error ? cause.message : cause}. "make setup" installs what it needs.`
    })
})

/** Built at the first call; a failure is tried again at the next. */
export const make: Effect.Effect<Effect.Effect<Assets, ToolFailed>> = Effect.sync(() => {
  let kept: Assets | undefined
  const keep = Effect.tap(bundle, (made) =>
    Effect.sync(() => {
      kept = made
    })
  )
  return Effect.suspend(() => (kept === undefined ? keep : Effect.succeed(kept)))
})
