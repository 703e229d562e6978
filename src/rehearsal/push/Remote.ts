/** The bare repository that `git push rehearsal main` goes to, in the server's state folder. */
import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import type { ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

export interface RemoteOptions {
  /** The server's state. */
  readonly folder: string
  /** The repository whose packages and tools serve the checks. */
  readonly root: string
  readonly cache: string
  /** The program that judges a push. */
  readonly entry: string
}

/**
 * Made once; its hooks are written at every start, since the repository may have moved. `pre-receive` judges: what `post-receive`
 * finds comes too late, git has told the pusher by then that all is well. So that one only shows how the rollout goes on.
 */
export const ensure = (options: RemoteOptions): Effect.Effect<string, ToolFailed> =>
  Effect.gen(function* () {
    const bare = join(options.folder, "push.git")
    if (!existsSync(join(bare, "HEAD")))
      yield* exec("git", ["init", "--quiet", "--bare", "--initial-branch=main", bare])
    for (const hook of ["pre-receive", "post-receive"]) {
      const command = [process.execPath, options.entry, hook, options.root, options.cache, bare].map(quoted).join(" ")
      yield* Effect.promise(() => writeFile(join(bare, "hooks", hook), `#!/bin/sh\nexec ${command}\n`, { mode: 0o755 }))
    }
    return bare
  })
