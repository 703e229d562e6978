/**
 * `updateMask`: which fields of a resource a change is about, as google.protobuf.FieldMask has it. A path goes through messages alone: lists and
 * maps stand at its end, and are replaced whole.
 */
import { Either } from "effect"
import { type Shape, shapeOf } from "../schema/GoogleSchema.ts"

/** From the resource down to the field: `["serialPipeline", "stages"]`. */
export type Path = ReadonlyArray<string>

type Fields = Readonly<Record<string, unknown>>

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const short = (path: string) => path.slice(0, 80)

/** The paths of a mask, or what is wrong with it. Undefined where it names everything: an empty one does, as `*`. Pure. */
export const parseMask = (type: string, text: string): Either.Either<ReadonlyArray<Path> | undefined, string> => {
  const written = (text || "*").split(",").map((path) => path.trim())
  if (written.includes("*")) return Either.right(undefined)
  const paths: Array<Path> = []
  for (const path of written) {
    const names = path.split(".").map(camel)
    let shape: Shape | undefined = shapeOf("clouddeploy", type)
    for (const [at, name] of names.entries()) {
      if (shape?.properties === undefined) {
        return Either.left(
          `updateMask: "${short(path)}" goes into "${short(names[at - 1] ?? "")}", which has no fields of its own. Name it whole.`
        )
      }
      const field: Shape | undefined = Object.hasOwn(shape.properties, name) ? shape.properties[name] : undefined
      if (field === undefined) return Either.left(`updateMask: a ${type} has no field "${short(path)}".`)
      shape = field.$ref === undefined ? field : shapeOf("clouddeploy", field.$ref)
    }
    paths.push(names)
  }
  return Either.right(paths)
}

const fieldsOf = (value: unknown): Fields | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined

/** `found` with one field as `given` has it. A field that `given` lacks goes; the messages around it stay. Pure. */
const replaced = (found: Fields, given: Fields | undefined, [name = "", ...below]: Path): Fields => {
  const { [name]: old, ...others } = found
  const value = given !== undefined && Object.hasOwn(given, name) ? given[name] : undefined
  if (below.length === 0) return value === undefined ? others : { ...others, [name]: value }
  const inner = fieldsOf(value)
  // Nothing there and nothing to set: a message is not made for the sake of a field that it won't have.
  if (old === undefined && inner === undefined) return found
  return { ...others, [name]: replaced(fieldsOf(old) ?? {}, inner, below) }
}

/** `found` with the fields of the mask as `given` has them. Pure. */
export const masked = (found: Fields, given: Fields, paths: ReadonlyArray<Path>): Fields =>
  paths.reduce((resource, path) => replaced(resource, given, path), found)
