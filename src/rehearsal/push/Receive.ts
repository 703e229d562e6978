/**
 * Judges a push: what `cloudbuild.yaml` of the pushed commit says, step by step, then a release, until the gates of its first target
 * have answered. What it prints goes to the pusher.
 *
 * It runs as git's `pre-receive`, where the pushed objects lie apart until the hook says yes. `post-receive` then shows how the
 * rollout goes on.
 */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { Effect } from "effect"
import * as Serve from "../api/Serve.ts"
import { PreconditionMissing, type ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"
import { lastOf } from "../engine/Resources.ts"
import * as Release from "../release/Release.ts"
import { ask, must, PARENT } from "./Api.ts"
import * as Follow from "./Follow.ts"
import * as ReleaseOf from "./ReleaseOf.ts"
import { plan, type Step } from "./Steps.ts"

export interface Pushed {
  readonly root: string
  readonly cache: string
  readonly bare: string
  /** git's lines: `OLD NEW REF`. */
  readonly updates: string
  /** `GIT_QUARANTINE_PATH` */
  readonly quarantine: string | undefined
  readonly say: (line: string) => void
}

/** Of a check that failed, as much as a terminal shows. */
const LAST_LINES = 40
/** A gate says first what it refuses, then what it has looked at. */
const GATE_LINES = 300
/** A gate that takes longer, or a target that another rollout keeps busy, is not waited for. */
const GATES_PATIENCE = "10 minutes"
const ROLLOUT_PATIENCE = "20 minutes"
const NONE = /^0+$/
const BRANCH = "refs/heads/main"

const refuse = (message: string) => new PreconditionMissing({ message })

/** From one hook to the other: the rollout that the push began. */
const rolloutFile = (bare: string) => join(bare, "pushed-rollout")

/** git's own variables point at the repository that receives: a check that runs git would work on that one. */
const environment = (root: string) => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"))),
  PATH: [join(root, "node_modules", ".bin"), join(root, ".tools"), process.env["PATH"]].join(delimiter)
})

/** A repository of its own with the pushed commit in it, whose objects git has not taken over yet. */
const checkOut = ({ bare, quarantine }: Pushed, commit: string, folder: string) =>
  Effect.gen(function* () {
    const git = (...args: ReadonlyArray<string>) => exec("git", ["-C", folder, ...args])
    yield* exec("git", ["init", "--quiet", folder])
    const objects = join(folder, ".git", "objects")
    yield* Effect.promise(async () => {
      if (quarantine !== undefined)
        await cp(quarantine, objects, { recursive: true, force: false, errorOnExist: false })
      await mkdir(join(objects, "info"), { recursive: true })
      await writeFile(join(objects, "info", "alternates"), `${join(bare, "objects")}\n`)
    })
    yield* git("checkout", "--quiet", "--detach", commit)
  })

const same = async (a: string, b: string, files: ReadonlyArray<string>) => {
  for (const file of files) {
    const [one, other] = await Promise.all([a, b].map((folder) => readFile(join(folder, file)).catch(() => undefined)))
    if (one === undefined ? other !== undefined : other === undefined || !one.equals(other)) return false
  }
  return true
}

/** Whether what is installed is not older than what says what to install, as `make` sees it. */
const isFresh = async (root: string, stamp: string, lock: string) => {
  const [installed, wanted] = await Promise.all(
    [stamp, lock].map((file) => stat(join(root, file)).catch(() => undefined))
  )
  return installed === undefined || wanted === undefined || installed.mtimeMs >= wanted.mtimeMs
}

/** Ours where the lock files agree, with the stamp that tells `make` so; else an installation of the commit's own. */
const install = (root: string, folder: string) =>
  Effect.gen(function* () {
    const link = async (name: string) => {
      if (!existsSync(join(root, name)) || existsSync(join(folder, name))) return
      await symlink(join(root, name), join(folder, name))
      const now = new Date()
      await utimes(join(root, name, ".installed"), now, now).catch(() => {})
    }
    const [tools, packages] = yield* Effect.promise(async () => [
      (await same(root, folder, ["tools/go.mod", "tools/go.sum"])) &&
        (await isFresh(root, ".tools/.installed", "tools/go.sum")),
      (await same(root, folder, ["package-lock.json"])) &&
        (await isFresh(root, "node_modules/.installed", "package-lock.json"))
    ])
    if (tools) yield* Effect.promise(() => link(".tools"))
    if (packages) yield* Effect.promise(() => link("node_modules"))
    if (!tools || !packages) yield* exec("make", ["setup"], { cwd: folder })
  })

const run = (command: readonly [string, ...ReadonlyArray<string>], cwd: string, root: string) =>
  Effect.async<void, PreconditionMissing>((resume) => {
    const [program, ...args] = command
    const child = spawn(program, args, { cwd, env: environment(root), stdio: ["ignore", "pipe", "pipe"] })
    let lines: ReadonlyArray<string> = []
    const keep = (chunk: Buffer) => {
      lines = [...lines, ...chunk.toString("utf8").split("\n").filter(Boolean)].slice(-LAST_LINES)
    }
    child.stdout.on("data", keep)
    child.stderr.on("data", keep)
    child.once("error", (error) => resume(refuse(`${program} can't be started: ${error.message}`)))
    child.once("close", (code) =>
      resume(
        code === 0 ? Effect.void : refuse(`${lines.join("\n")}\n"${command.join(" ")}" ended with exit code ${code}.`)
      )
    )
    return Effect.sync(() => child.kill("SIGTERM"))
  })

/** The commit that `main` shall be, if that is what was pushed. */
const wanted = (updates: string): Effect.Effect<string, PreconditionMissing> => {
  const [update, more] = updates.trim().split("\n")
  const [, commit = "", ref] = (update ?? "").split(" ")
  if (ref !== BRANCH || more !== undefined) {
    return refuse(`A release is made of main alone: git push rehearsal main (not ${ref ?? "nothing"}).`)
  }
  return NONE.test(commit) ? refuse("main can't be deleted here.") : Effect.succeed(commit)
}

export const receive = (pushed: Pushed): Effect.Effect<void, PreconditionMissing | ToolFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { root, cache, say } = pushed
      const commit = yield* wanted(pushed.updates)
      const server = yield* Serve.address(cache)
      // Not at the last step, after minutes of checks.
      yield* must(ask(server, "GET", `v1/${PARENT}/targets?pageSize=1`))
      const work = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "rehearsal-push-"))),
        (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
      )
      const folder = join(work, "source")
      yield* checkOut(pushed, commit, folder)
      const file = join(folder, "cloudbuild.yaml")
      const is = yield* Effect.promise(() => lstat(file).catch(() => undefined))
      if (is?.isFile() !== true)
        return yield* refuse("The commit has no file cloudbuild.yaml, which says what a release needs.")
      const planned = plan(yield* Effect.promise(() => readFile(file, "utf8")))
      if (planned._tag === "Refused") return yield* refuse(planned.reason)

      let built: Release.Release | undefined
      const carryOut = (step: Step): Effect.Effect<string, PreconditionMissing | ToolFailed> => {
        switch (step._tag) {
          case "Nothing":
            return Effect.succeed(`nothing to do: ${step.why}`)
          case "Install":
            return Effect.as(install(root, folder), "done")
          case "Run":
            return Effect.as(run(step.command, folder, root), "passed")
          case "Images":
            return Release.make({ repository: { root: folder }, cache, commit }).pipe(
              Effect.map((release) => {
                built = release
                return Object.values(release.images)
                  .map((image) => image.slice(0, image.indexOf("@") + 20))
                  .join(", ")
              })
            )
          case "Release":
            return Effect.gen(function* () {
              const rollout = yield* ReleaseOf.create({
                server,
                pipeline: step.pipeline,
                name: built!.name,
                commit,
                images: built!.images,
                source: built!.source,
                archive: join(work, "source.tgz"),
                say
              })
              yield* Effect.promise(() => writeFile(rolloutFile(pushed.bare), rollout))
              const said = `${built!.name}, on its way as ${lastOf(rollout)}`
              const verdict = yield* Follow.follow({ server, rollout, until: "gated", say, patience: GATES_PATIENCE })
              if (verdict._tag === "Passed") return said
              if (verdict._tag === "Failed") {
                const log = yield* Follow.logOf(server, verdict.jobRun, GATE_LINES)
                return yield* refuse([...log, `Rollout ${lastOf(rollout)}: ${verdict.why}.`].join("\n"))
              }
              return `${said}: ${verdict.why}`
            })
        }
      }
      for (const step of planned.steps) {
        const begun = Date.now()
        const said = yield* carryOut(step).pipe(
          Effect.mapError((error) => refuse(`${error.message}\nREFUSED at step "${step.id}". main stays where it was.`))
        )
        say(`${step.id.padEnd(12)} ${said} (${((Date.now() - begun) / 1000).toFixed(1)} s)`)
      }
      say(`Follow it: ${server.url}/console/`)
    })
  )

/** Shows the pusher how the rollout goes on. main is what it is by now: nothing here can fail the push. */
export const show = ({ cache, bare, say }: Pick<Pushed, "cache" | "bare" | "say">) =>
  Effect.gen(function* () {
    const server = yield* Serve.address(cache)
    const rollout = yield* Effect.tryPromise({
      try: () => readFile(rolloutFile(bare), "utf8"),
      catch: () => refuse("No rollout was begun.")
    })
    const verdict = yield* Follow.follow({ server, rollout, until: "ended", say, patience: ROLLOUT_PATIENCE })
    if (verdict._tag === "Failed") {
      for (const line of yield* Follow.logOf(server, verdict.jobRun, LAST_LINES)) say(line)
    }
    say(`${lastOf(rollout)}: ${verdict._tag === "Passed" ? "SUCCEEDED" : verdict.why}.`)
  }).pipe(Effect.catchAll(({ message }) => Effect.sync(() => say(message))))
