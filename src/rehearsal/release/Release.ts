/**
 * A release: one commit, its images, and a snapshot of the files that deliver it.
 *
 * The "image" of a commit is the folder that the Dockerfile would put below `/`, made by the commit's own
 * `tools/build.ts` in a work tree of that commit. It is named by the SHA-256 of its content and kept in
 * `.rehearsal/releases`, so a commit is built once.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises"
import { join, relative } from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { PreconditionMissing, ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"
import * as Git from "./Git.ts"

/** The files that Cloud Deploy would receive as a release's source. */
const SOURCE = ["clouddeploy", "k8s", "skaffold.yaml"] as const

/** What a commit must hold to be rehearsed at all. */
export const REQUIRED_PATHS = [...SOURCE, "tools/build.ts", "surface.json", "src/bin/runner.ts", "src/bin/gateway.ts"]

/** A change made to the commit's files before it is built: how hazards and harmless predecessors are made. */
export class Variant extends Schema.Class<Variant>("Variant")({
  /** Becomes part of the release's name: lower case letters, digits, dashes. */
  name: Schema.String.pipe(Schema.pattern(/^[a-z][a-z0-9-]*$/)),
  edits: Schema.Array(Schema.Struct({ file: Schema.String, find: Schema.String, replace: Schema.String }))
}) {}

export class Release extends Schema.Class<Release>("Release")({
  /** Cloud Deploy's id of the release. */
  name: Schema.String,
  /** The commit, followed by `-variant` where it was changed before it was built. */
  commit: Schema.String,
  /** Skaffold's artifact name to a reference by digest. */
  images: Schema.Record({ key: Schema.String, value: Schema.String }),
  /** The snapshot of `clouddeploy/`, `k8s/` and `skaffold.yaml`. */
  source: Schema.String
}) {}

const decodeRelease = Schema.decodeUnknown(Schema.parseJson(Release))

const filesBelow = async (folder: string): Promise<ReadonlyArray<string>> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()

/** SHA-256 over the sorted names and contents of a folder. */
export const digestOf = (folder: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    const hash = createHash("sha256")
    for (const file of await filesBelow(folder)) {
      hash.update(`${file}\0`)
      hash.update(
        createHash("sha256")
          .update(await readFile(join(folder, file)))
          .digest()
      )
    }
    return hash.digest("hex")
  })

const attempt = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, ToolFailed> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new ToolFailed({ message: `${what} failed: ${cause instanceof Error ? cause.message : String(cause)}` })
  })

const applyEdits = (folder: string, variant: Variant): Effect.Effect<void, PreconditionMissing | ToolFailed> =>
  Effect.forEach(
    variant.edits,
    (edit) =>
      Effect.gen(function* () {
        const path = join(folder, edit.file)
        const text = yield* attempt(`Reading ${edit.file}`, () => readFile(path, "utf8"))
        const parts = text.split(edit.find)
        if (parts.length !== 2) {
          return yield* new PreconditionMissing({
            message:
              `The variant "${variant.name}" replaces ${JSON.stringify(edit.find)} in ${edit.file}, but this commit holds it ${parts.length - 1} times. ` +
              "It must be there exactly once: bring the variant's file in line with the code."
          })
        }
        yield* attempt(`Writing ${edit.file}`, () => writeFile(path, parts.join(edit.replace)))
      }),
    { discard: true }
  )

/** The work tree's dependencies: ours when the lock file is the same, else an installation of their own. */
const provideModules = Effect.fn("Release.provideModules")(function* (
  repository: Git.Repository,
  cache: string,
  folder: string
) {
  const lock = yield* attempt("Reading package-lock.json", () => readFile(join(folder, "package-lock.json")))
  const ours = yield* attempt("Reading package-lock.json", () => readFile(join(repository.root, "package-lock.json")))
  let modules = join(repository.root, "node_modules")
  if (!lock.equals(ours)) {
    modules = join(cache, "modules", createHash("sha256").update(lock).digest("hex").slice(0, 16), "node_modules")
    if (!existsSync(join(modules, ".package-lock.json"))) {
      const parent = join(modules, "..")
      yield* attempt("Preparing the dependencies", async () => {
        await mkdir(parent, { recursive: true })
        for (const name of ["package.json", "package-lock.json"]) await cp(join(folder, name), join(parent, name))
      })
      // As `make setup` does, and for the reason that stands there.
      yield* exec("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: parent })
    }
  }
  yield* attempt("Linking node_modules", () => symlink(modules, join(folder, "node_modules")))
})

const releaseName = (commit: string, variant?: Variant) =>
  `r-${commit.slice(0, 8)}${variant === undefined ? "" : `-${variant.name}`}`

/**
 * The release of a commit, built or taken from the cache below `cache`.
 *
 * Fails with `PreconditionMissing` when the commit lacks what a release needs, with `ToolFailed` when its build fails.
 */
export const make = (options: {
  readonly repository: Git.Repository
  readonly cache: string
  readonly commit: string
  readonly variant?: Variant
}): Effect.Effect<Release, PreconditionMissing | ToolFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { repository, commit, variant } = options
      const key =
        variant === undefined
          ? commit
          : `${commit}-${createHash("sha256").update(JSON.stringify(variant)).digest("hex").slice(0, 16)}`
      const folder = join(options.cache, "releases", key)
      const manifest = join(folder, "release.json")
      if (existsSync(manifest)) {
        return yield* attempt("Reading a built release", () => readFile(manifest, "utf8")).pipe(
          Effect.flatMap(decodeRelease),
          Effect.mapError(
            (error) => new ToolFailed({ message: `${manifest} is damaged (${error.message}). Remove ${folder}.` })
          )
        )
      }
      if (!(yield* Git.holds(repository, commit, REQUIRED_PATHS))) {
        return yield* new PreconditionMissing({
          message: `Commit ${commit.slice(0, 8)} can't be released: it lacks one of ${REQUIRED_PATHS.join(", ")}.`
        })
      }
      return yield* build({ ...options, folder, manifest })
    })
  )

const build = (options: {
  readonly repository: Git.Repository
  readonly cache: string
  readonly commit: string
  readonly variant?: Variant
  readonly folder: string
  readonly manifest: string
}): Effect.Effect<Release, PreconditionMissing | ToolFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { repository, cache, commit, variant, folder } = options
    const work = join(cache, "worktrees", crypto.randomUUID())
    const staging = `${work}-image`
    yield* attempt("Preparing the build", () => mkdir(join(cache, "worktrees"), { recursive: true }))
    yield* Effect.addFinalizer(() => Effect.promise(() => rm(staging, { recursive: true, force: true })))
    yield* Git.worktree(repository, commit, work)
    yield* provideModules(repository, cache, work)
    const label = variant === undefined ? commit : `${commit}-${variant.name}`
    if (variant !== undefined) {
      yield* applyEdits(work, variant)
      // Whoever changes durable code also writes the surface anew, else the build refuses it before any gate could.
      yield* exec(process.execPath, ["src/bin/deliver.ts", "surface"], { cwd: work })
    }
    yield* exec(process.execPath, ["tools/build.ts", "--out", join(staging, "agents", "app"), "--commit", label], {
      cwd: work
    })
    yield* attempt("Collecting the release", async () => {
      await cp(join(work, "smoke"), join(staging, "agents-smoke", "smoke"), { recursive: true })
      for (const path of SOURCE) await cp(join(work, path), join(staging, "source", path), { recursive: true })
    })
    const images: Record<string, string> = {}
    for (const name of ["agents", "agents-smoke"]) {
      images[name] = `${name}@sha256:${yield* digestOf(join(staging, name))}`
    }
    const release = Release.make({
      name: releaseName(commit, variant),
      commit: label,
      images,
      source: join(folder, "source")
    })
    yield* attempt("Keeping the release", async () => {
      await writeFile(join(staging, "release.json"), `${JSON.stringify(release, null, 2)}\n`)
      await mkdir(join(cache, "releases"), { recursive: true })
      // One rename makes it visible: a build that is killed leaves nothing half done.
      await rename(staging, folder)
    })
    return release
  })

/** Where the image with this reference lies: the folder that stands for `/`. */
export const imageRoot = (releases: ReadonlyArray<Release>, reference: string): string | undefined => {
  for (const release of releases) {
    for (const [name, image] of Object.entries(release.images)) {
      if (image === reference) return join(release.source, "..", name)
    }
  }
  return undefined
}
