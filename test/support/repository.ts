/** A git repository that holds the work tree as it stands, for tests of what needs one: clean, with commits of its own. */
import { execFile } from "node:child_process"
import { cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect, type Scope } from "effect"

const run = promisify(execFile)
const root = join(import.meta.dirname, "../..")

export interface TestRepository {
  readonly folder: string
  readonly git: (...args: ReadonlyArray<string>) => Promise<string>
  /** Writes a file and commits it. */
  readonly commit: (file: string, text: string) => Promise<void>
}

export const testRepository: Effect.Effect<TestRepository, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = await mkdtemp(join(tmpdir(), "agents-repository-"))
    const git = async (...args: ReadonlyArray<string>) =>
      (await run("git", ["-c", "user.name=test", "-c", "user.email=test@localhost", ...args], { cwd: folder })).stdout
    const { stdout } = await run("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root })
    const files = stdout.split("\0").filter((file) => file !== "")
    // A file that is deleted and not yet committed is listed and not there.
    for (const file of files) await cp(join(root, file), join(folder, file)).catch(() => {})
    await git("init", "--quiet", "--initial-branch=main")
    for (const name of ["node_modules", ".tools"]) {
      await symlink(join(root, name), join(folder, name))
      await writeFile(join(folder, ".git", "info", "exclude"), "node_modules\n.tools\n")
    }
    await git("add", "--all")
    await git("commit", "--quiet", "--message", "the work tree")
    const commit = async (file: string, text: string) => {
      await writeFile(join(folder, file), text)
      await git("add", file)
      await git("commit", "--quiet", "--message", file)
    }
    return { folder, git, commit }
  }),
  ({ folder }) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)
