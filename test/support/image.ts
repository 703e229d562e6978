/** A release's image as a folder, as small as tests need it: the runner's bundle, the migrations, the commit. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { build, type Plugin } from "esbuild"

const root = fileURLToPath(new URL("../../", import.meta.url))

export interface TestImage {
  readonly folder: string
  readonly commit: string
}

/** A change of the source, as the corpus of hazards describes them. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** Makes esbuild read the edited files; the work tree stays as it is. */
const edited = (edits: ReadonlyArray<Edit>): Plugin => ({
  name: "edits",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const own = edits.filter(({ file }) => join(root, file) === path)
      if (own.length === 0) return undefined
      let contents = await readFile(path, "utf8")
      for (const { file, find, replace } of own) {
        if (!contents.includes(find)) throw new Error(`${file} does not hold ${JSON.stringify(find)}`)
        contents = contents.replace(find, () => replace)
      }
      return { contents, loader: "ts" }
    })
})

/**
 * `entries` are names below `src/bin`; `edits` make another release of the same source. Building takes about half a second,
 * so it is done per test file.
 */
export const testImage = (
  options: {
    readonly commit?: string
    readonly entries?: ReadonlyArray<string>
    readonly edits?: ReadonlyArray<Edit>
  } = {}
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
        // As in the image: tools/build.ts.
        keepNames: false,
        sourcemap: "linked",
        logLevel: "error",
        external: ["pg-native"],
        plugins: [edited(options.edits ?? [])],
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
