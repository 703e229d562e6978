/**
 * Where a container's paths are on this machine.
 *
 * Processes share one file system, so a path inside the container becomes another one outside: a volume's mount path its folder, a
 * path of the image the image's folder. Mapped where a path can stand in a manifest: at the start of a command's
 * word or of a variable's value, and behind the `=` of an argument that begins with a dash. A path that code has spelled out stays
 * as it is, which is why our code takes its paths from variables.
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"

export interface Mapping {
  readonly from: string
  readonly to: string
}

const below = (path: string, folder: string) =>
  path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`)

/** The deepest mapping wins, as the deepest mount does. */
export const mapPath = (path: string, mappings: ReadonlyArray<Mapping>): string => {
  const best = mappings
    .filter(({ from }) => below(path, from))
    .reduce<Mapping | undefined>(
      (deepest, next) => (next.from.length > (deepest?.from.length ?? -1) ? next : deepest),
      undefined
    )
  return best === undefined ? path : best.to + path.slice(best.from.length)
}

export const mapArgument = (argument: string, mappings: ReadonlyArray<Mapping>): string => {
  const flag = /^(--?[^=]+=)(\/.*)$/s.exec(argument)
  return flag ? `${flag[1]}${mapPath(flag[2] ?? "", mappings)}` : mapPath(argument, mappings)
}

/** One mapping for each top folder of the image: `/app` is `<root>/app`. */
export const imageMappings = (root: string): ReadonlyArray<Mapping> =>
  readdirSync(root).map((entry) => ({ from: `/${entry}`, to: join(root, entry) }))
