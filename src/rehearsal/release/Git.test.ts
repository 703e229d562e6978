import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { exec } from "../Exec.ts"
import * as Git from "./Git.ts"

/** Stands before the real git and notes each change of the list of work trees that begins while another is at work. */
const WATCHED_GIT = `#!/bin/sh
[ "$1" = worktree ] || exec "$REAL_GIT" "$@"
mkdir "$WATCH/busy" 2>/dev/null || { echo "$*" >> "$WATCH/overlaps"; exec "$REAL_GIT" "$@"; }
"$REAL_GIT" "$@"; code=$?
rmdir "$WATCH/busy"
exit $code
`

it.scopedLive(
  "changes the list of work trees once at a time: git keeps no lock on it, and builds run side by side",
  () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "agents-git-"))),
        (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
      )
      const root = join(folder, "repository")
      const author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
      yield* exec("git", ["init", "--quiet", root])
      yield* exec("git", [...author, "commit", "--quiet", "--allow-empty", "--message", "empty"], { cwd: root })

      const path = process.env["PATH"] ?? ""
      yield* Effect.acquireRelease(
        Effect.promise(async () => {
          await writeFile(join(folder, "git"), WATCHED_GIT)
          await writeFile(join(folder, "overlaps"), "")
          await chmod(join(folder, "git"), 0o755)
        }).pipe(
          Effect.andThen(exec("which", ["git"])),
          Effect.map((found) => {
            process.env["REAL_GIT"] = found.trim()
            process.env["WATCH"] = folder
            process.env["PATH"] = `${folder}${delimiter}${path}`
          })
        ),
        () =>
          Effect.sync(() => {
            process.env["PATH"] = path
          })
      )
      const repository = yield* Git.open(root)
      yield* Effect.forEach(
        [1, 2, 3, 4],
        (number) => Effect.scoped(Git.worktree(repository, "HEAD", join(folder, `tree-${number}`))),
        { concurrency: "unbounded" }
      )
      expect(yield* Effect.promise(() => readFile(join(folder, "overlaps"), "utf8"))).toBe("")
      expect((yield* exec("git", ["worktree", "list"], { cwd: root })).trim().split("\n")).toHaveLength(1)
    })
)
