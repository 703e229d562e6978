/**
 * Can a reader's schema decode everything a writer's schema encodes? Answered on shapes, without running either.
 *
 * `refuse` means: a value exists that the writer writes and the reader can't read. `undecided` means that the shapes can't
 * tell. No issue at all means that every value fits; a property test holds that against Effect's own decoder.
 */
import { canonicalText, membersOf, type Shape } from "./Shape.ts"

export interface Misfit {
  readonly verdict: "refuse" | "undecided"
  /** Where in the value: `.tool.arguments[]`. Empty for the value itself. */
  readonly path: string
  readonly why: string
}

interface Side {
  readonly shape: Shape
  readonly defs: { readonly [name: string]: Shape }
}

const deref = ({ shape, defs }: Side): Side => {
  let current = shape
  // A definition may be a mere reference to another; a cycle of mere references admits nothing and can't be made by Schema.
  for (let i = 0; current.$ref !== undefined && i < 100; i++) {
    const target = defs[current.$ref.replace("#/$defs/", "")]
    if (target === undefined) return { shape: { undecided: `${current.$ref} is not defined` }, defs }
    current = current.via === undefined ? target : { ...target, via: current.via }
  }
  return { shape: current, defs }
}

const describe = (shape: Shape): string => {
  if (shape.enum !== undefined) return shape.enum.map((value) => JSON.stringify(value)).join(" | ")
  if (shape.void === true) return "nothing"
  if (shape.undecided !== undefined) return `something undecided (${shape.undecided})`
  if (shape.type !== undefined) return shape.type
  return shape.anyOf !== undefined ? membersOf(shape).map(describe).join(" | ") : "anything"
}

type Scalar = string | number | boolean | null

const typeOfScalar = (value: Scalar) => (value === null ? "null" : typeof value)

/** The basic types a shape's values have; undefined when they can't be told. */
const kinds = (shape: Shape): ReadonlySet<string> | undefined => {
  if (shape.enum !== undefined) return new Set(shape.enum.map(typeOfScalar))
  if (shape.void === true) return new Set(["void"])
  if (shape.type !== undefined) return new Set([shape.type === "integer" ? "number" : shape.type])
  return undefined
}

const closed = (shape: Shape): boolean => shape.type === "object" && shape.additionalProperties === undefined

/** True only when surely no value of the writer can be read: what makes "not this member of the union" certain. */
const disjoint = (w: Side, r: Side, depth = 0): boolean => {
  if (depth > 6) return false
  const [a, b] = [deref(w), deref(r)]
  if (a.shape.undecided !== undefined || b.shape.undecided !== undefined) return false
  if (b.shape.not !== undefined || a.shape.not !== undefined) return true
  if (a.shape.anyOf !== undefined || b.shape.anyOf !== undefined) {
    return membersOf(a.shape).every((x) =>
      membersOf(b.shape).every((y) => disjoint({ shape: x, defs: a.defs }, { shape: y, defs: b.defs }, depth + 1))
    )
  }
  const [ka, kb] = [kinds(a.shape), kinds(b.shape)]
  if (ka === undefined || kb === undefined) return false
  if (![...ka].some((kind) => kb.has(kind))) return true
  if (a.shape.enum !== undefined) return a.shape.enum.every((value) => !accepts(b.shape, value))
  if (b.shape.enum !== undefined) return b.shape.enum.every((value) => !accepts(a.shape, value))
  if (a.shape.type === "object") {
    for (const name of b.shape.required ?? []) {
      const written = a.shape.properties?.[name]
      if (written === undefined) {
        if (closed(a.shape)) return true
        continue
      }
      if (a.shape.required?.includes(name) !== true) continue
      const read = b.shape.properties?.[name]
      if (read !== undefined && disjoint({ ...a, shape: written }, { ...b, shape: read }, depth + 1)) return true
    }
  }
  return false
}

const accepts = (shape: Shape, value: Scalar): boolean => {
  if (shape.void === true || shape.not !== undefined) return false
  if (shape.enum !== undefined) return shape.enum.includes(value)
  const kind = shape.type === "integer" ? "number" : shape.type
  if (kind !== undefined && kind !== typeOfScalar(value)) return false
  if (typeof value === "string") {
    return (
      value.length >= (shape.minLength ?? 0) &&
      value.length <= (shape.maxLength ?? Number.POSITIVE_INFINITY) &&
      (shape.pattern === undefined || new RegExp(shape.pattern).test(value))
    )
  }
  if (typeof value === "number") {
    return (
      (shape.type !== "integer" || Number.isSafeInteger(value)) &&
      value >= (shape.minimum ?? Number.NEGATIVE_INFINITY) &&
      value <= (shape.maximum ?? Number.POSITIVE_INFINITY) &&
      value > (shape.exclusiveMinimum ?? Number.NEGATIVE_INFINITY) &&
      value < (shape.exclusiveMaximum ?? Number.POSITIVE_INFINITY) &&
      (shape.multipleOf === undefined || value % shape.multipleOf === 0)
    )
  }
  return true
}

/** Splits a writer's literals into single values, so that a tagged union can be told apart member by member. */
const split = (w: Side): ReadonlyArray<Side> => {
  const { shape, defs } = w
  if (shape.enum !== undefined && shape.enum.length > 1) {
    return shape.enum.map((value) => ({ shape: { ...shape, enum: [value] }, defs }))
  }
  if (shape.type === "boolean") return [true, false].map((value) => ({ shape: { enum: [value] }, defs }))
  if (shape.type !== "object") return [w]
  let parts: ReadonlyArray<Shape> = [shape]
  for (const [name, property] of Object.entries(shape.properties ?? {})) {
    const values = property.enum ?? (property.type === "boolean" ? [true, false] : undefined)
    if (values === undefined || values.length < 2 || parts.length * values.length > 64) continue
    parts = parts.flatMap((part) =>
      values.map((value) => ({ ...part, properties: { ...part.properties, [name]: { enum: [value] } } }))
    )
  }
  return parts.map((part) => ({ shape: part, defs }))
}

/** Every way in which `reader` can't read what `writer` writes. Empty: everything fits. */
export const misfits = (writer: Shape, reader: Shape): ReadonlyArray<Misfit> => {
  if (canonicalText(writer) === canonicalText(reader)) return []
  // Pairs under way count as fitting: recursion is sound because a real value is finite.
  const assumed = new Set<string>()

  const go = (w: Side, r: Side, path: string): ReadonlyArray<Misfit> => {
    const refs = w.shape.$ref !== undefined || r.shape.$ref !== undefined
    if (refs) {
      const key = `${canonicalText(w.shape)} ${canonicalText(r.shape)}`
      if (assumed.has(key)) return []
      assumed.add(key)
    }
    return compare(deref(w), deref(r), path)
  }

  const refuse = (path: string, why: string): ReadonlyArray<Misfit> => [{ verdict: "refuse", path, why }]
  const undecided = (path: string, why: string): ReadonlyArray<Misfit> => [{ verdict: "undecided", path, why }]

  const compare = (w: Side, r: Side, path: string): ReadonlyArray<Misfit> => {
    if (w.shape.not !== undefined) return []
    if (w.shape.undecided !== undefined || r.shape.undecided !== undefined) {
      return canonicalText(w.shape) === canonicalText(r.shape)
        ? []
        : undecided(path, w.shape.undecided ?? r.shape.undecided ?? "")
    }
    const vias =
      r.shape.via !== undefined && r.shape.via !== w.shape.via
        ? undecided(path, `it is read through ${r.shape.via}, which may refuse what was written`)
        : []
    if (r.shape.not !== undefined) return refuse(path, `${describe(w.shape)} is written where nothing is read`)
    if (w.shape.anyOf !== undefined) {
      return [
        ...membersOf(w.shape).flatMap((member) => go({ ...w, shape: member }, r, path)),
        ...(r.shape.anyOf === undefined ? [] : vias)
      ]
    }
    if (r.shape.anyOf !== undefined) return [...vias, ...intoUnion(w, r, path)]
    return [...vias, ...plain(w, r, path)]
  }

  const intoUnion = (w: Side, r: Side, path: string): ReadonlyArray<Misfit> => {
    const members = membersOf(r.shape).map((shape): Side => ({ shape, defs: r.defs }))
    const attempt = (one: Side): ReadonlyArray<Misfit> => {
      const near: Array<ReadonlyArray<Misfit>> = []
      for (const member of members) {
        // A failed attempt must leave no assumption behind, or the next one would lean on it.
        const before = new Set(assumed)
        const issues = go(one, member, path)
        if (issues.length === 0) return []
        assumed.clear()
        for (const key of before) assumed.add(key)
        if (!disjoint(one, member)) near.push(issues)
      }
      if (near.length === 0) return refuse(path, `${describe(one.shape)} is written, ${describe(r.shape)} is read`)
      if (near.length === 1) return near[0]!
      return undecided(path, `no single member of the union reads all of ${describe(one.shape)}`)
    }
    const whole = attempt(w)
    if (whole.length === 0) return whole
    const parts = split(w)
    return parts.length === 1 ? whole : parts.flatMap(attempt)
  }

  const plain = (w: Side, r: Side, path: string): ReadonlyArray<Misfit> => {
    const [a, b] = [w.shape, r.shape]
    const reads = kinds(b)
    if (reads === undefined) return []
    const writes = kinds(a)
    if (writes === undefined) return refuse(path, `anything may be written, ${describe(b)} is read`)
    if (a.enum !== undefined) {
      const lost = a.enum.filter((value) => !accepts(b, value))
      return lost.length === 0 ? [] : refuse(path, `${describe({ enum: lost })} is written, ${describe(b)} is read`)
    }
    if (b.enum !== undefined) {
      const whole = a.type === "boolean" && [true, false].every((value) => b.enum?.includes(value))
      return whole ? [] : refuse(path, `${describe(a)} is written, only ${describe(b)} is read`)
    }
    if (![...writes].every((kind) => reads.has(kind)) || (b.type === "integer" && a.type === "number")) {
      return refuse(path, `${describe(a)} is written, ${describe(b)} is read`)
    }
    switch (b.type) {
      case "string":
        return text(a, b, path)
      case "number":
      case "integer":
        return numbers(a, b, path)
      case "object":
        return objects(w, r, path)
      case "array":
        return arrays(w, r, path)
      default:
        return []
    }
  }

  const text = (a: Shape, b: Shape, path: string): ReadonlyArray<Misfit> => [
    ...((b.minLength ?? 0) > (a.minLength ?? 0)
      ? a.pattern === undefined
        ? refuse(path, `text shorter than ${b.minLength} may be written`)
        : undecided(path, `text of ${a.pattern} may be shorter than ${b.minLength}`)
      : []),
    ...((b.maxLength ?? Number.POSITIVE_INFINITY) < (a.maxLength ?? Number.POSITIVE_INFINITY)
      ? a.pattern === undefined
        ? refuse(path, `text longer than ${b.maxLength} may be written`)
        : undecided(path, `text of ${a.pattern} may be longer than ${b.maxLength}`)
      : []),
    ...(b.pattern !== undefined && b.pattern !== a.pattern ? undecided(path, `only text of ${b.pattern} is read`) : [])
  ]

  const numbers = (a: Shape, b: Shape, path: string): ReadonlyArray<Misfit> => {
    const low = (s: Shape) =>
      Math.max(s.minimum ?? Number.NEGATIVE_INFINITY, s.exclusiveMinimum ?? Number.NEGATIVE_INFINITY)
    const high = (s: Shape) =>
      Math.min(s.maximum ?? Number.POSITIVE_INFINITY, s.exclusiveMaximum ?? Number.POSITIVE_INFINITY)
    const open = (bound: number | undefined, limit: number) => bound === limit
    const below =
      low(a) < low(b) || (low(a) === low(b) && open(b.exclusiveMinimum, low(b)) && !open(a.exclusiveMinimum, low(a)))
    const above =
      high(a) > high(b) ||
      (high(a) === high(b) && open(b.exclusiveMaximum, high(b)) && !open(a.exclusiveMaximum, high(a)))
    // Between two bounds there may be no integer or multiple at all: then a bound proves nothing.
    const loose = a.type === "integer" || a.multipleOf !== undefined
    const say = loose ? undecided : refuse
    return [
      ...(below ? say(path, `numbers below what is read (${low(b)}) may be written`) : []),
      ...(above ? say(path, `numbers above what is read (${high(b)}) may be written`) : []),
      ...(b.multipleOf !== undefined && b.multipleOf !== a.multipleOf
        ? undecided(path, `only multiples of ${b.multipleOf} are read`)
        : [])
    ]
  }

  const objects = (w: Side, r: Side, path: string): ReadonlyArray<Misfit> => {
    const [a, b] = [w.shape, r.shape]
    const issues: Array<Misfit> = []
    for (const [name, read] of Object.entries(b.properties ?? {})) {
      const here = `${path}.${name}`
      const written = a.properties?.[name] ?? a.additionalProperties
      const needed = b.required?.includes(name) === true
      const sure = a.required?.includes(name) === true
      if (needed && !sure) {
        issues.push(
          ...refuse(
            here,
            written === undefined ? "it is required, and never written" : "it is required, and may be left out"
          )
        )
      }
      if (written !== undefined) issues.push(...go({ ...w, shape: written }, { ...r, shape: read }, here))
    }
    if (b.additionalProperties !== undefined) {
      for (const [name, written] of Object.entries(a.properties ?? {})) {
        if (b.properties?.[name] !== undefined) continue
        issues.push(...go({ ...w, shape: written }, { ...r, shape: b.additionalProperties }, `${path}.${name}`))
      }
      if (a.additionalProperties !== undefined) {
        issues.push(
          ...go({ ...w, shape: a.additionalProperties }, { ...r, shape: b.additionalProperties }, `${path}{}`)
        )
      }
    }
    return issues
  }

  const arrays = (w: Side, r: Side, path: string): ReadonlyArray<Misfit> => {
    const [a, b] = [w.shape, r.shape]
    const issues: Array<Misfit> = []
    const [shortest, needed] = [a.minItems ?? 0, b.minItems ?? 0]
    if (needed > shortest) issues.push(...refuse(path, `fewer than ${needed} elements may be written`))
    const longest = (s: Shape) =>
      Math.min(
        s.maxItems ?? Number.POSITIVE_INFINITY,
        s.items === undefined ? (s.prefixItems?.length ?? 0) : Number.POSITIVE_INFINITY
      )
    if (longest(a) > longest(b)) issues.push(...refuse(path, `more than ${longest(b)} elements may be written`))
    const at = (s: Shape, index: number) => s.prefixItems?.[index] ?? s.items
    const fixed = Math.max(a.prefixItems?.length ?? 0, b.prefixItems?.length ?? 0)
    for (let index = 0; index < fixed; index++) {
      const [written, read] = [at(a, index), at(b, index)]
      if (written !== undefined && read !== undefined) {
        issues.push(...go({ ...w, shape: written }, { ...r, shape: read }, `${path}[${index}]`))
      }
    }
    if (a.items !== undefined && b.items !== undefined) {
      issues.push(...go({ ...w, shape: a.items }, { ...r, shape: b.items }, `${path}[]`))
    }
    return issues
  }

  return go({ shape: writer, defs: writer.$defs ?? {} }, { shape: reader, defs: reader.$defs ?? {} }, "")
}
