/**
 * Checks captured inputs against a schema derived from the types that `@pulumi/gcp` ships: mocks take anything, and the compiler sees
 * neither what was computed nor the values that only the documentation lists.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import ts from "typescript"

type Shape =
  | { readonly kind: "scalar"; readonly name: string }
  | { readonly kind: "object"; readonly ref: string }
  | { readonly kind: "list"; readonly of: Shape }
  | { readonly kind: "map"; readonly of: Shape }
  | { readonly kind: "any" }

interface Property {
  readonly shape: Shape
  readonly required: boolean
  /** Documented values. */
  readonly values: ReadonlyArray<string> | undefined
}
type Properties = Readonly<Record<string, Property>>

const sdk = resolve(import.meta.dirname, "../../node_modules/@pulumi/gcp")
const VALUES =
  /(?:Possible values(?: are| include)?|Valid values(?: are)?|Each value may be one of|Must be one of)\s*:\s*((?:`"?[A-Za-z0-9_@.-]+"?`(?:,? (?:and|or) |,\s*|\s+)?)+)/

const parse = (file: string) => ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ESNext, true)

const shapeOf = (node: ts.TypeNode): Shape => {
  if (ts.isTypeReferenceNode(node)) {
    const name = node.typeName.getText()
    if (name === "pulumi.Input" && node.typeArguments?.[0] !== undefined) return shapeOf(node.typeArguments[0])
    return name.startsWith("inputs.") ? { kind: "object", ref: name.slice("inputs.".length) } : { kind: "any" }
  }
  if (ts.isUnionTypeNode(node)) {
    const parts = node.types.filter(({ kind }) => kind !== ts.SyntaxKind.UndefinedKeyword).map(shapeOf)
    return parts.length === 1 ? parts[0]! : { kind: "any" }
  }
  if (ts.isParenthesizedTypeNode(node)) return shapeOf(node.type)
  if (ts.isArrayTypeNode(node)) return { kind: "list", of: shapeOf(node.elementType) }
  if (ts.isTypeLiteralNode(node)) {
    const index = node.members[0]
    return index !== undefined && ts.isIndexSignatureDeclaration(index)
      ? { kind: "map", of: shapeOf(index.type) }
      : { kind: "any" }
  }
  return { kind: "scalar", name: node.getText() }
}

const properties = (node: ts.InterfaceDeclaration): Properties =>
  Object.fromEntries(
    node.members.filter(ts.isPropertySignature).map((member) => {
      const documented = ts
        .getJSDocCommentsAndTags(member)
        .map((doc) => doc.getText())
        .join(" ")
        .replace(/\n\s*\*/g, " ")
      const found = VALUES.exec(documented)?.[1]
      return [
        member.name.getText(),
        {
          shape: shapeOf(member.type!),
          required: member.questionToken === undefined,
          values: found === undefined ? undefined : [...found.matchAll(/`"?([^`"]+)"?`/g)].map(([, value]) => value!)
        }
      ]
    })
  )

/** Nested types, all in one file of megabytes: found once, read when asked for. */
let nested: Map<string, ts.InterfaceDeclaration> | undefined
const nestedTypes = () => {
  if (nested !== undefined) return nested
  const found = new Map<string, ts.InterfaceDeclaration>()
  const visit = (node: ts.Node, prefix: string) =>
    node.forEachChild((child) => {
      if (ts.isModuleDeclaration(child) && child.body !== undefined) {
        visit(child.body, `${prefix}${child.name.getText()}.`)
      } else if (ts.isInterfaceDeclaration(child)) found.set(prefix + child.name.text, child)
    })
  visit(parse(join(sdk, "types/input.d.ts")), "")
  nested = found
  return found
}
const known = new Map<string, Properties | undefined>()
const remember = (key: string, make: () => Properties | undefined) => {
  if (!known.has(key)) known.set(key, make())
  return known.get(key)
}
const nestedProperties = (ref: string) =>
  remember(ref, () => {
    const node = nestedTypes().get(ref)
    return node === undefined ? undefined : properties(node)
  })

/** `gcp:sql/user:User` is `sql/user.d.ts`, whose arguments are `UserArgs`. */
const resourceProperties = (type: string) =>
  remember(type, () => {
    const [, path, name] = type.split(":")
    const [folder, file] = path!.split("/")
    const actual = readdirSync(join(sdk, folder!)).find((one) => one.toLowerCase() === `${file!.toLowerCase()}.d.ts`)
    if (actual === undefined) return undefined
    let found: ts.InterfaceDeclaration | undefined
    parse(join(sdk, folder!, actual)).forEachChild((node) => {
      if (ts.isInterfaceDeclaration(node) && node.name.text === `${name}Args`) found = node
    })
    return found === undefined ? undefined : properties(found)
  })

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const judgeObject = (types: Properties, value: Readonly<Record<string, unknown>>, path: string): Array<string> => [
  ...Object.keys(value)
    .filter((key) => types[key] === undefined && !key.startsWith("__"))
    .map((key) => `${path}${key}: no such property`),
  ...Object.entries(types).flatMap(([key, { shape, required, values }]) => {
    const field = value[key]
    if (field === undefined || field === null) return required ? [`${path}${key}: is missing`] : []
    return judge(shape, values, field, `${path}${key}`)
  })
]

const judge = (
  shape: Shape,
  values: ReadonlyArray<string> | undefined,
  value: unknown,
  path: string
): Array<string> => {
  switch (shape.kind) {
    case "any":
      return []
    case "object": {
      const types = nestedProperties(shape.ref)
      if (types === undefined) return [`${path}: the SDK has no type ${shape.ref}`]
      return isObject(value) ? judgeObject(types, value, `${path}.`) : [`${path}: must be an object`]
    }
    case "list":
      return Array.isArray(value)
        ? value.flatMap((item, i) => judge(shape.of, values, item, `${path}[${i}]`))
        : [`${path}: must be a list`]
    case "map":
      return isObject(value)
        ? Object.entries(value).flatMap(([key, item]) => judge(shape.of, undefined, item, `${path}.${key}`))
        : [`${path}: must be a map`]
    case "scalar": {
      if (["string", "number", "boolean"].includes(shape.name) && typeof value !== shape.name) {
        return [`${path}: must be a ${shape.name}, is ${JSON.stringify(value)}`]
      }
      return values !== undefined && typeof value === "string" && !values.includes(value)
        ? [`${path}: "${value}" is none of ${values.join(", ")}`]
        : []
    }
  }
}

/** What is wrong with the inputs of a resource of `@pulumi/gcp`, by path. Empty for resources of other packages. */
export const schemaErrors = (type: string, inputs: Readonly<Record<string, unknown>>): ReadonlyArray<string> => {
  if (!type.startsWith("gcp:")) return []
  const types = resourceProperties(type)
  return types === undefined ? [`the SDK has no resource ${type}`] : judgeObject(types, inputs, "")
}
