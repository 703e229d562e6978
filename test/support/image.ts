/** A release's image as a folder, as small as tests need it: the runner's bundle, the migrations, the commit. */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { build } from "esbuild"

const root = fileURLToPath(new URL("../../", import.meta.url))

export interface TestImage {
  readonly folder: string
  readonly commit: string
}

/** `entries` are names below `src/bin`. Building takes about half a second, so it is done per test file. */
export const testImage = (
  options: { readonly commit?: string; readonly entries?: ReadonlyArray<string> } = {}
): Effect.Effect<TestImage, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "agents-image-"))),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    )
    const commit = options.commit ?? "test"
    yield* Effect.promise(async () => {
      await build({
        absWorkingDir: root,
        entryPoints: (options.entries ?? ["runner"]).map((name) => `src/bin/${name}.ts`),
        outdir: folder,
        bundle: true,
        platform: "node",
        format: "esm",
        target: "node24",
        keepNames: true,
        sourcemap: "linked",
        logLevel: "error",
        external: ["pg-native"],
        banner: {
          js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);"
        }
      })
      await mkdir(join(folder, "migrations"), { recursive: true })
      await cp(join(root, "migrations"), join(folder, "migrations"), { recursive: true })
      await writeFile(join(folder, "package.json"), `{"type":"module"}\n`)
      await writeFile(join(folder, "release.json"), `${JSON.stringify({ commit })}\n`)
    })
    return { folder, commit }
  })
