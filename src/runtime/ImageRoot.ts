/** Where the files of this image are, and which release it is. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

/** Bundled, this module lies in the folder of the bundle; from source, two folders below the repository's root. */
export const imageRoot = (): string => {
  const given = process.env["AGENT_IMAGE_ROOT"]
  if (given !== undefined && given !== "") return resolve(given)
  const here = dirname(fileURLToPath(import.meta.url))
  return [here, dirname(here)].find((folder) => existsSync(join(folder, "release.json"))) ?? resolve(here, "..", "..")
}

/** The commit that the image was built from; `source` when it runs from a checkout. */
export const release = (): string => {
  const file = join(imageRoot(), "release.json")
  if (!existsSync(file)) return "source"
  const { commit } = JSON.parse(readFileSync(file, "utf8")) as { readonly commit?: unknown }
  if (typeof commit !== "string" || commit === "") throw new Error(`${file} has no commit`)
  return commit
}

/** The migrations that this release needs, by the names that node-pg-migrate records. */
export const neededMigrations = (): ReadonlyArray<string> =>
  readdirSync(join(imageRoot(), "migrations"))
    .filter((name) => name.endsWith(".sql"))
    .map((name) => name.slice(0, -".sql".length))
    .sort()
