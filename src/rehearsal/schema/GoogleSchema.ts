/** Holds a JSON value against Google's own definition of its type: unknown fields, wrong types, unknown enum values. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { nearest } from "../../domain/Nearest.ts"

/** A type of the API, as far as a value can break it. */
export interface Shape {
  readonly type?: string
  readonly $ref?: string
  readonly format?: string
  readonly enum?: ReadonlyArray<string>
  readonly items?: Shape
  readonly additionalProperties?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  /** Written by the service. */
  readonly output?: boolean
}

interface Document {
  readonly revision: string
  readonly schemas: Readonly<Record<string, Shape>>
}

export type Api = "clouddeploy" | "cloudbuild"

/** Generated: `make google-schemas`. */
const documents = new Map<Api, Document>()
const load = (api: Api): Document => {
  const found = documents.get(api)
  if (found !== undefined) return found
  const read: Document = JSON.parse(readFileSync(join(import.meta.dirname, `${api}.json`), "utf8"))
  documents.set(api, read)
  return read
}

/** The shape of a type by its name: `Build`, `DeliveryPipeline`. */
export const shapeOf = (api: Api, type: string): Shape => {
  const found = load(api).schemas[type]
  if (found === undefined) throw new Error(`${api} has no type ${type}`)
  return found
}

export interface Mismatch {
  readonly path: ReadonlyArray<string | number>
  readonly message: string
}

const DEPTH_LIMIT = 64

const EXPECTED: Readonly<Record<string, string>> = {
  array: "a list",
  object: "an object",
  integer: "a whole number",
  "google-duration": 'seconds, such as "600s"'
}

const expected = ({ type = "", format = "" }: Shape): string => EXPECTED[format] ?? EXPECTED[type] ?? `a ${type}`

const article = (value: unknown) =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "a list"
      : typeof value === "object"
        ? "an object"
        : `a ${typeof value}`

const fits = (shape: Shape, value: unknown): boolean => {
  switch (shape.type) {
    case "string":
      // int64 is a string in Google's JSON, and numbers are taken too.
      return typeof value === "string" || (shape.format === "int64" && Number.isInteger(value))
    case "integer":
      return Number.isInteger(value) || (typeof value === "string" && /^-?\d+$/.test(value))
    case "number":
      return typeof value === "number"
    case "boolean":
      return typeof value === "boolean"
    case "array":
      return Array.isArray(value)
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value)
    default:
      return true
  }
}

/** A message as Google's parsers read it: a field that is null is not there. */
export const withoutNulls = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(withoutNulls)
    : typeof value === "object" && value !== null
      ? Object.fromEntries(
          Object.entries(value).flatMap(([key, field]) => (field === null ? [] : [[key, withoutNulls(field)]]))
        )
      : value

const DURATION = /^\d+(\.\d+)?s$/

/**
 * Everything that is wrong with `value` as a `type` of the API. A field that is null counts as absent, as Google's parsers take it
 * (`withoutNulls`); in a list it is wrong. With
 * `byHand`, what only the service writes is wrong too: a client may send back what it was given, a person's file may not.
 */
export const mismatches = (
  api: Api,
  type: string,
  value: unknown,
  { byHand = false }: { readonly byHand?: boolean } = {}
): ReadonlyArray<Mismatch> => {
  const { schemas } = load(api)
  const found: Array<Mismatch> = []
  const walk = (shape: Shape, one: unknown, path: ReadonlyArray<string | number>, depth: number): void => {
    if (one === null || one === undefined) return
    if (depth > DEPTH_LIMIT) return void found.push({ path, message: "is nested too deeply" })
    const resolved = shape.$ref === undefined ? shape : { type: "object", ...schemas[shape.$ref] }
    if (!fits(resolved, one)) {
      return void found.push({
        path,
        message: `must be ${expected(resolved)}, not ${article(one)}`
      })
    }
    if (resolved.enum !== undefined && typeof one === "string" && !resolved.enum.includes(one)) {
      const hint = nearest(one, resolved.enum)
      const known = hint === undefined ? `Known: ${resolved.enum.join(", ")}.` : `Did you mean ${hint}?`
      return void found.push({ path, message: `"${one}" is no value of this field. ${known}` })
    }
    if (resolved.format === "google-duration" && !DURATION.test(String(one))) {
      return void found.push({ path, message: `must be ${expected(resolved)}, not "${one}"` })
    }
    if (Array.isArray(one)) {
      for (const [index, item] of one.entries()) {
        const at = [...path, index]
        if (item === null) found.push({ path: at, message: `must be ${expected(resolved.items ?? {})}, not null` })
        else walk(resolved.items ?? {}, item, at, depth + 1)
      }
      return
    }
    if (typeof one !== "object") return
    for (const [key, field] of Object.entries(one)) {
      const known = resolved.properties ?? {}
      const own = Object.hasOwn(known, key) ? known[key] : resolved.additionalProperties
      if (byHand && own?.output === true) {
        found.push({ path: [...path, key], message: "is written by Google Cloud, not by a file. Remove it." })
      } else if (own !== undefined) walk(own, field, [...path, key], depth + 1)
      else if (resolved.properties !== undefined) {
        const hint = nearest(key, Object.keys(known))
        found.push({
          path: [...path, key],
          message: `there is no field "${key}" here. ${hint === undefined ? `Known: ${Object.keys(known).join(", ")}.` : `Did you mean "${hint}"?`}`
        })
      }
    }
  }
  walk({ $ref: type }, value, [], 0)
  return found
}
