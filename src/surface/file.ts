/** How a surface differs from the one in `surface.json`, told so that a reviewer finds the place. */
import type { Json } from "./Shape.ts"
import { type Surface, toJson } from "./Surface.ts"

export const FILE = "surface.json"

const isRecord = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const shown = (value: Json | undefined): string => {
  const text = JSON.stringify(value) ?? "nothing"
  return text.length > 160 ? `${text.slice(0, 157)}...` : text
}

/** Arrays whose elements have names are compared by name: one more statement is one line, and not a shift of all others. */
const byName = (value: Json): Json => {
  if (!Array.isArray(value) || value.length === 0) return value
  const items = value as ReadonlyArray<Json>
  if (items.every((item) => isRecord(item) && typeof item["name"] === "string")) {
    return Object.fromEntries(items.map((item) => [(item as { readonly name: string }).name, item]))
  }
  return items.every((item) => typeof item === "string") ? Object.fromEntries(items.map((item) => [item, true])) : value
}

/** Lines of a diff, one per place: `+` only in the code, `-` only in the file, `~` in both and different. */
export const drift = (file: Json, code: Json, path = ""): ReadonlyArray<string> => {
  const [a, b] = [byName(file), byName(code)]
  if (JSON.stringify(a) === JSON.stringify(b)) return []
  if (!isRecord(a) || !isRecord(b)) return [`~ ${path === "" ? "all of it" : path}: ${shown(a)} -> ${shown(b)}`]
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().flatMap((key) => {
    const here = path === "" ? key : `${path} / ${key}`
    if (!(key in b)) return [`- ${here}`]
    if (!(key in a)) return [`+ ${here}: ${shown(b[key])}`]
    return drift(a[key]!, b[key]!, here)
  })
}

/** The drift between what is committed and what the code says. Empty: none. */
export const driftOf = (file: Json, code: Surface): ReadonlyArray<string> => drift(file, toJson(code))
