/** The tools that a rehearsal runs, where they are. */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import { Effect } from "effect"
import { PreconditionMissing } from "./Errors.ts"

export interface Tools {
  readonly kustomize: string
  readonly k6: string
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The one that `make setup` built from `tools/go.mod`, else the one on PATH. */
const find = (root: string, name: string): Effect.Effect<string, PreconditionMissing> => {
  const folders = [join(root, ".tools"), ...(process.env["PATH"] ?? "").split(delimiter)]
  const found = folders.map((folder) => join(folder, name)).find(isExecutable)
  return found === undefined
    ? new PreconditionMissing({
        message: `${name} was found neither in .tools nor on PATH. Run "make setup", which builds it with Go, or install ${name} yourself.`
      })
    : Effect.succeed(found)
}

export const locate = (root: string): Effect.Effect<Tools, PreconditionMissing> =>
  Effect.all({ kustomize: find(root, "kustomize"), k6: find(root, "k6") })
