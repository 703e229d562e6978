/** What the rehearsal asks of git: which commits, and a work tree of one of them. */
import { Effect, type Scope } from "effect"
import { PreconditionMissing, type ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"

export interface Repository {
  /** The work tree's top folder. */
  readonly root: string
}

const git = (repository: Repository, ...args: ReadonlyArray<string>) =>
  exec("git", args, { cwd: repository.root }).pipe(Effect.map((output) => output.trimEnd()))

/** Fails when the folder is in no repository, or in one without a commit. */
export const open = (folder: string): Effect.Effect<Repository, PreconditionMissing> =>
  exec("git", ["rev-parse", "--show-toplevel", "--verify", "HEAD"], { cwd: folder }).pipe(
    Effect.map((output) => ({ root: output.split("\n")[0]! })),
    Effect.mapError(
      () =>
        new PreconditionMissing({
          message: `${folder} is not a git repository with a commit. A release is a commit: clone the repository, or commit first.`
        })
    )
  )

/** Refuses uncommitted changes: the release would not hold what the work tree shows. */
export const requireClean = (repository: Repository): Effect.Effect<void, PreconditionMissing | ToolFailed> =>
  Effect.gen(function* () {
    const status = yield* git(repository, "status", "--porcelain")
    if (status === "") return
    const files = status.split("\n")
    const shown = files.slice(0, 5).map((line) => `  ${line}`)
    return yield* new PreconditionMissing({
      message:
        `The work tree has ${files.length} uncommitted change${files.length === 1 ? "" : "s"}, which the release of this commit would not hold:\n` +
        `${shown.join("\n")}${files.length > 5 ? `\n  … and ${files.length - 5} more` : ""}\n` +
        `Commit or stash them, or pass --allow-dirty to rehearse the last commit without them.`
    })
  })

export const resolveCommit = (repository: Repository, revision: string): Effect.Effect<string, PreconditionMissing> =>
  git(repository, "rev-parse", "--verify", "--quiet", `${revision}^{commit}`).pipe(
    Effect.mapError(
      () =>
        new PreconditionMissing({
          message: `"${revision}" names no commit of this repository. "git log --oneline" lists them.`
        })
    )
  )

/** Whether the commit holds all of these paths. */
export const holds = (repository: Repository, commit: string, paths: ReadonlyArray<string>): Effect.Effect<boolean> =>
  Effect.forEach(paths, (path) => git(repository, "cat-file", "-e", `${commit}:${path}`)).pipe(
    Effect.as(true),
    Effect.orElseSucceed(() => false)
  )

/** The release before this one: the last tag before the commit, else the commit before it. */
export const predecessor = (repository: Repository, commit: string): Effect.Effect<string | undefined> =>
  git(repository, "describe", "--tags", "--abbrev=0", `${commit}^`).pipe(
    Effect.orElse(() => Effect.succeed(`${commit}^`)),
    Effect.flatMap((revision) => git(repository, "rev-parse", "--verify", "--quiet", `${revision}^{commit}`)),
    Effect.orElseSucceed(() => undefined)
  )

/**
 * One change of a repository's list of work trees at a time: git tidies the list without a lock, so that two builds side by
 * side took each other's half-made entry away ("could not open '.git/worktrees/…/locked' for writing").
 */
const worktreeList = Effect.unsafeMakeSemaphore(1)

/** A work tree of the commit in the given folder, for as long as the scope is open. */
export const worktree = (
  repository: Repository,
  commit: string,
  folder: string
): Effect.Effect<string, ToolFailed, Scope.Scope> =>
  Effect.acquireRelease(
    // An earlier run that was killed may have left its registration behind.
    git(repository, "worktree", "prune").pipe(
      Effect.andThen(git(repository, "worktree", "add", "--detach", "--force", folder, commit)),
      Effect.as(folder),
      worktreeList.withPermits(1)
    ),
    () => git(repository, "worktree", "remove", "--force", folder).pipe(Effect.ignore, worktreeList.withPermits(1))
  )
