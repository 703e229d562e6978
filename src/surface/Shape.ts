/**
 * The shape of what a schema writes: plain JSON Schema of its *encoded* side, so that two releases can be compared by data.
 *
 * Ours and not `JSONSchema.make`, for three reasons: that one throws where we must say "undecided"; it drops refinements on
 * the encoded side, so a new `minLength` would look compatible; and it hides transformations, whose decoding may refuse
 * values that their encoded side admits (`NumberFromString` is not just any string). Here such a place carries `via`.
 *
 * Same schema, same bytes: keys are sorted, union members ordered, names of recursive parts numbered by first sight.
 */
import { SchemaAST as AST, Option, type Schema } from "effect"

export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** A subset of JSON Schema, plus three words of our own: `via`, `undecided` and `void`. The empty shape admits anything. */
export interface Shape {
  readonly type?: "string" | "number" | "integer" | "boolean" | "null" | "object" | "array"
  readonly enum?: ReadonlyArray<string | number | boolean | null>
  readonly properties?: { readonly [name: string]: Shape }
  readonly required?: ReadonlyArray<string>
  /** Values of keys that `properties` does not name. Absent: such keys are never written, and ignored when read. */
  readonly additionalProperties?: Shape
  readonly prefixItems?: ReadonlyArray<Shape>
  /** What follows `prefixItems`. Absent on an array: nothing may follow. */
  readonly items?: Shape
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly multipleOf?: number
  readonly anyOf?: ReadonlyArray<Shape>
  readonly $ref?: string
  readonly $defs?: { readonly [name: string]: Shape }
  /** Admits nothing. */
  readonly not?: Readonly<Record<string, never>>
  /** Nothing is written at all (`Schema.Void`, `undefined`). */
  readonly void?: true
  /** Decoding goes through a function that may refuse values of this shape; this is its name. */
  readonly via?: string
  /** The shape can't be told, and why: a person must look when it changes. */
  readonly undecided?: string
}

export const anything: Shape = {}
export const nothing: Shape = { not: {} }

/** JSON with sorted keys: equal values give equal bytes. */
export const canonical = (value: unknown): Json => {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, v]) => v !== undefined)
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
        .map(([k, v]) => [k, canonical(v)])
    )
  }
  return value as Json
}

export const canonicalText = (value: unknown): string => JSON.stringify(canonical(value))

/** The members of a shape: of a union its parts, of anything else itself. */
export const membersOf = (shape: Shape): ReadonlyArray<Shape> =>
  shape.anyOf !== undefined ? shape.anyOf.flatMap(membersOf) : shape.not !== undefined ? [] : [shape]

const union = (members: ReadonlyArray<Shape>): Shape => {
  const flat = members.flatMap(membersOf)
  if (flat.some((member) => canonicalText(member) === "{}")) return anything
  // All literals become one enum: "a" | "b" must not differ from Literal("a", "b").
  const plain = flat.filter((m) => m.enum !== undefined && Object.keys(m).length === 1)
  const values = [...new Set(plain.flatMap((m) => m.enum ?? []))].sort((a, b) =>
    canonicalText(a) < canonicalText(b) ? -1 : 1
  )
  const rest = flat.filter((m) => !plain.includes(m))
  const unique = new Map(rest.map((member) => [canonicalText(member), member]))
  const all: ReadonlyArray<Shape> = [
    ...(values.length > 0 ? [{ enum: values } satisfies Shape] : []),
    ...[...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, member]) => member)
  ]
  return all.length === 0 ? nothing : all.length === 1 ? all[0]! : { anyOf: all }
}

const known = [
  "minLength",
  "maxLength",
  "pattern",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "multipleOf",
  "minItems",
  "maxItems"
] as const

const words = (annotated: AST.Annotated, otherwise: string): string =>
  Option.getOrElse(
    Option.orElse(AST.getIdentifierAnnotation(annotated), () => AST.getTitleAnnotation(annotated)),
    () => otherwise
  )

/** True when the value a refinement sees is the encoded one: nothing below it transforms. */
const seesEncoded = (ast: AST.AST): boolean =>
  AST.isTransformation(ast) ? false : AST.isRefinement(ast) ? seesEncoded(ast.from) : AST.encodedAST(ast) === ast

const refine = (ast: AST.Refinement, from: Shape): Shape => {
  const name = words(ast, String(ast))
  const partial: Shape = { ...from, via: from.via === undefined ? name : `${from.via} and ${name}` }
  const annotation = Option.getOrUndefined(AST.getJSONSchemaAnnotation(ast)) as Record<string, unknown> | undefined
  if (annotation === undefined || from.anyOf !== undefined || from.$ref !== undefined || !seesEncoded(ast.from)) {
    return partial
  }
  const keys = Object.keys(annotation)
  const integer = annotation["type"] === "integer"
  if (!keys.every((key) => (key === "type" && integer) || (known as ReadonlyArray<string>).includes(key)))
    return partial
  // The tighter of two bounds holds when refinements are stacked.
  const merged: Record<string, unknown> = { ...from, ...(integer ? { type: "integer" } : {}) }
  for (const key of known) {
    const value = annotation[key]
    if (value === undefined) continue
    const before = merged[key]
    if (key === "pattern") {
      if (before !== undefined && before !== value) return partial
      merged[key] = value
    } else if (typeof value === "number") {
      if (key === "multipleOf" && before !== undefined && before !== value) return partial
      const lower = key.startsWith("min") || key === "exclusiveMinimum"
      merged[key] = typeof before === "number" ? (lower ? Math.max(before, value) : Math.min(before, value)) : value
    }
  }
  return merged as Shape
}

const withoutVoid = (shape: Shape): readonly [Shape, boolean] => {
  const members = membersOf(shape)
  const rest = members.filter((member) => member.void !== true)
  return rest.length === members.length ? [shape, false] : [union(rest), true]
}

/**
 * The shape of a schema's encoded side. Never throws: what it can't tell is `undecided`, with the reason in words.
 */
export const shapeOf = (schema: Schema.Schema.All): Shape => {
  const defs = new Map<string, Shape>()
  const names = new Map<AST.AST, string>()
  const open = new Map<AST.AST, boolean>()

  const go = (ast: AST.AST): Shape => {
    if (open.has(ast)) {
      open.set(ast, true)
      return { $ref: `#/$defs/${nameOf(ast)}` }
    }
    if (names.has(ast) && defs.has(names.get(ast)!)) return { $ref: `#/$defs/${names.get(ast)}` }
    open.set(ast, false)
    const shape = visit(ast)
    const recursive = open.get(ast) === true
    open.delete(ast)
    if (!recursive) return shape
    defs.set(nameOf(ast), shape)
    return { $ref: `#/$defs/${nameOf(ast)}` }
  }

  const nameOf = (ast: AST.AST): string => {
    const name = names.get(ast) ?? `part${names.size + 1}`
    names.set(ast, name)
    return name
  }

  const visit = (ast: AST.AST): Shape => {
    switch (ast._tag) {
      case "StringKeyword":
        return { type: "string" }
      case "NumberKeyword":
        return { type: "number" }
      case "BooleanKeyword":
        return { type: "boolean" }
      case "UndefinedKeyword":
      case "VoidKeyword":
        return { void: true }
      case "NeverKeyword":
        return nothing
      case "UnknownKeyword":
      case "AnyKeyword":
        return anything
      case "ObjectKeyword":
        return {
          anyOf: [
            { type: "array", items: anything },
            { type: "object", additionalProperties: anything }
          ]
        }
      case "Literal":
        return typeof ast.literal === "bigint"
          ? { undecided: "a bigint literal is not JSON" }
          : ast.literal === null
            ? { type: "null" }
            : { enum: [ast.literal] }
      case "Enums":
        return union(ast.enums.map(([, value]) => ({ enum: [value] })))
      case "TemplateLiteral":
        return { type: "string", pattern: AST.getTemplateLiteralRegExp(ast).source }
      case "BigIntKeyword":
      case "SymbolKeyword":
      case "UniqueSymbol":
        return { undecided: `${String(ast)} is not JSON: storing it fails or changes it` }
      case "Declaration":
        return { undecided: `${words(ast, String(ast))} is not JSON: what is stored is not what was written` }
      case "Union":
        return union(ast.types.map(go))
      case "Suspend":
        return go(ast.f())
      case "TupleType": {
        const rest = ast.rest.map((each) => go(each.type))
        if (rest.length > 1) return { type: "array", undecided: "elements after a rest element" }
        const required = ast.elements.filter((element) => !element.isOptional).length
        return {
          type: "array",
          ...(ast.elements.length > 0 ? { prefixItems: ast.elements.map((element) => go(element.type)) } : {}),
          ...(rest[0] === undefined ? {} : { items: rest[0] }),
          ...(required > 0 ? { minItems: required } : {})
        }
      }
      case "TypeLiteral":
        return record(ast)
      case "Refinement":
        return refine(ast, go(ast.from))
      case "Transformation": {
        const from = go(ast.from)
        // Structs with defaults or renamed keys, and classes and containers made from their parts, can't refuse by themselves.
        const total =
          ast.transformation._tag === "TypeLiteralTransformation" ||
          (AST.isDeclaration(ast.to) && ast.to.typeParameters.length > 0)
        if (total) return from
        const name = words(ast, String(ast.to))
        return { ...from, via: from.via === undefined ? name : `${from.via} and ${name}` }
      }
    }
  }

  const record = (ast: AST.TypeLiteral): Shape => {
    const properties: Record<string, Shape> = {}
    const required: Array<string> = []
    for (const signature of ast.propertySignatures) {
      if (typeof signature.name === "symbol") return { undecided: "a key that is a symbol is never written" }
      // JSON drops keys that hold undefined, so a value that may be undefined is a key that may be absent.
      const [shape, mayBeAbsent] = withoutVoid(go(signature.type))
      properties[String(signature.name)] = shape
      if (!signature.isOptional && !mayBeAbsent) required.push(String(signature.name))
    }
    const [index, ...more] = ast.indexSignatures
    if (more.length > 0) return { type: "object", undecided: "several index signatures" }
    const key = index === undefined ? undefined : AST.encodedAST(index.parameter)
    return {
      type: "object",
      ...(ast.propertySignatures.length > 0 ? { properties } : {}),
      ...(required.length > 0 ? { required: required.sort() } : {}),
      ...(index === undefined ? {} : { additionalProperties: go(index.type) }),
      ...(key === undefined || AST.isStringKeyword(key) ? {} : { via: `keys ${String(key)}` })
    }
  }

  const root = go(schema.ast)
  return canonical(defs.size === 0 ? root : { ...root, $defs: Object.fromEntries(defs) }) as Shape
}
