/**
 * Where in the source a durable name is declared, for whoever reads a finding.
 *
 * Not part of the surface, which would change with every line above. The image holds what was found when it was built
 * (`declared-at.json`); in a checkout the source itself is read. Looked for by form (`name: "Plan"`, `make("Approval"`): what is declared
 * otherwise, or in several files, is not told.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

export const PLACES_FILE = "declared-at.json"

/** Of each name, `file:line` of its declarations. */
export type Places = Readonly<Record<string, ReadonlyArray<string>>>

const declared =
  /(?:\bname:\s*|\b(?:make|fromRpcGroup|TaggedStruct|TaggedRequest|TaggedClass<[^>]*>\(\))\(\s*)"([A-Za-z][\w.-]*)"/g

/** Pure. */
export const placesIn = (files: ReadonlyArray<{ readonly path: string; readonly text: string }>): Places => {
  const places: Record<string, Array<string>> = {}
  for (const { path, text } of files) {
    for (const match of text.matchAll(declared)) {
      const line = text.slice(0, match.index + match[0].length).split("\n").length
      places[match[1]!] = [...(places[match[1]!] ?? []), `${path}:${line}`]
    }
  }
  return places
}

/** Of a checkout's code that can be durable: agents, and what all parts share. */
export const placesOf = (root: string): Places =>
  placesIn(
    ["src/agent", "src/domain"].flatMap((folder) =>
      existsSync(join(root, folder))
        ? readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
            .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
            .sort()
            .map((name) => ({
              path: `${folder}/${name.replaceAll("\\", "/")}`,
              text: readFileSync(join(root, folder, name), "utf8")
            }))
        : []
    )
  )

/** Of an image, or of a checkout; none where neither tells. */
export const read = (root: string): Places => {
  try {
    return JSON.parse(readFileSync(join(root, PLACES_FILE), "utf8")) as Places
  } catch {
    return placesOf(root)
  }
}

const fileOf = (place: string) => place.replace(/:\d+$/, "")
const only = (places: ReadonlyArray<string>) => (places.length === 1 ? places[0] : undefined)

/**
 * The place of what a finding is about: `AgentWorkflow / activity Plan`, `Agent.Ask`, `event Token`. A part is looked for in the file of
 * its workflow first; where it is not declared any more, the workflow's own place is told. Pure.
 */
export const placeOf = (places: Places, subject: string): string | undefined => {
  const named = (name: string | undefined) => places[name ?? ""] ?? []
  const [owner = "", part] = subject.split(" / ")
  const words = (part ?? owner).split(" ")
  const whole = only(named(owner))
  if (part === undefined) return whole ?? only(named(words.at(-1))) ?? only(named(owner.split(".").at(-1)))
  const candidates = named(words[1])
  return (
    only(candidates.filter((place) => whole !== undefined && fileOf(place) === fileOf(whole))) ??
    only(candidates) ??
    whole
  )
}
