/**
 * Google's own definitions of Cloud Build's and Cloud Deploy's resources, as far as a file can break them: names of keys, types,
 * enums. `google.json` is made from the APIs' discovery documents by `make google-schemas`.
 */
import { nearest } from "../../domain/Nearest.ts"
import google from "./google.json" with { type: "json" }
import type { Path, Problem, YamlDocument } from "./YamlFile.ts"

export interface Shape {
  readonly type?: string
  readonly format?: string
  readonly enum?: ReadonlyArray<string>
  readonly ref?: string
  readonly items?: Shape
  readonly values?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  /** Written by the service and not by a file. */
  readonly output?: boolean
}

export type Api = "cloudbuild.v1" | "clouddeploy.v1"

/** The shape of a resource by its name in the API: `Build`, `DeliveryPipeline`. */
export const shapeOf = (api: Api, name: string): Shape => {
  const shapes: Readonly<Record<string, Shape>> = google[api].schemas
  const found = shapes[name]
  if (found === undefined) throw new Error(`${api} has no ${name}`)
  return found
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const expected = ({ type, format }: Shape): string =>
  format === "google-duration" ? 'seconds, such as "600s"' : type === "integer" ? "a whole number" : `a ${type}`

const fits = (shape: Shape, value: unknown): boolean => {
  switch (shape.type) {
    case "string":
      if (typeof value !== "string") return false
      return shape.format !== "google-duration" || /^\d+(\.\d+)?s$/.test(value)
    case "boolean":
      return typeof value === "boolean"
    case "integer":
      return Number.isInteger(value)
    case "number":
      return typeof value === "number"
    default:
      return true
  }
}

/** Everything in a document that Google's definition of the resource does not allow. */
export const againstGoogle = (api: Api, name: string, document: YamlDocument): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const complain = (path: Path, message: string) => void problems.push(document.problem(path, message))

  const walkKeys = (shape: Shape, value: Readonly<Record<string, unknown>>, path: Path): void => {
    for (const [key, inner] of Object.entries(value)) {
      const at = [...path, key]
      const known = shape.values ?? shape.properties?.[key]
      if (known === undefined) {
        const names = Object.keys(shape.properties ?? {}).filter((each) => shape.properties?.[each]?.output !== true)
        const hint = nearest(key, names)
        complain(
          at,
          `there is no such key here.${hint === undefined ? ` Known: ${names.join(", ")}.` : ` Did you mean "${hint}"?`}`
        )
      } else if (known.output === true) {
        complain(at, "is written by Google Cloud, not by a file. Remove it.")
      } else walk(known, inner, at)
    }
  }
  const walk = (shape: Shape, value: unknown, path: Path): void => {
    if (shape.ref !== undefined) walk(shapeOf(api, shape.ref), value, path)
    else if (shape.items !== undefined) {
      if (!Array.isArray(value)) complain(path, "must be a list")
      else for (const [i, item] of value.entries()) walk(shape.items, item, [...path, i])
    } else if (shape.values !== undefined || shape.properties !== undefined) {
      if (!isRecord(value)) complain(path, "must hold keys and values")
      else walkKeys(shape, value, path)
    } else if (!fits(shape, value)) complain(path, `must be ${expected(shape)}, not ${JSON.stringify(value)}`)
    else if (shape.enum !== undefined && typeof value === "string" && !shape.enum.includes(value)) {
      const hint = nearest(value, shape.enum)
      complain(
        path,
        `"${value}" is none of ${shape.enum.join(", ")}.${hint === undefined ? "" : ` Did you mean "${hint}"?`}`
      )
    }
  }

  walk(shapeOf(api, name), document.value, [])
  return problems
}
