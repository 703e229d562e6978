/** `filter` and `orderBy` of Google's list methods (AIP-160 and AIP-132): comparisons joined by AND, OR (which binds tighter), NOT and brackets. */
import { Either } from "effect"

type Test = (resource: Readonly<Record<string, unknown>>) => boolean

const LENGTH_LIMIT = 2_000
const TOKEN = /\s*(\(|\)|-(?=[A-Za-z(])|!=|<=|>=|=|<|>|:|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()=<>!:"']+)/y

const tokens = (text: string): ReadonlyArray<string> | undefined => {
  const found: Array<string> = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const match = TOKEN.exec(text)
    if (match === null) return undefined
    found.push(match[1]!)
  }
  return found
}

const unquote = (token: string) => (/^["']/.test(token) ? token.slice(1, -1).replace(/\\(.)/g, "$1") : token)

/** `DeployEndTime`, `deploy_end_time` and `deployEndTime` are one field, as gcloud writes all three. */
const camel = (name: string) =>
  name
    .replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    .replace(/^[A-Z]/, (letter) => letter.toLowerCase())

export const valueAt = (resource: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null
          ? ((value as Record<string, unknown>)[camel(key)] ?? (value as Record<string, unknown>)[key])
          : undefined,
      resource
    )

const compare = (operator: string, found: unknown, wanted: string): boolean => {
  const text = found === undefined ? "" : String(found)
  const order = typeof found === "number" ? found - Number(wanted) : text < wanted ? -1 : text > wanted ? 1 : 0
  switch (operator) {
    case "=":
      return text === wanted
    case "!=":
      return text !== wanted
    case ":":
      return wanted === "*" ? found !== undefined : text.includes(wanted)
    case "<":
      return order < 0
    case ">":
      return order > 0
    case "<=":
      return order <= 0
    default:
      return order >= 0
  }
}

export const parseFilter = (text: string): Either.Either<Test, string> => {
  const all = text.length > LENGTH_LIMIT ? undefined : tokens(text)
  if (all === undefined) return Either.left(`The filter can't be read: ${text.slice(0, 80)}`)
  let at = 0
  const failure = { message: "" }
  const primary = (): Test => {
    const token = all[at++]
    if (token === "(") {
      const inner = expression()
      if (all[at++] !== ")") failure.message ||= "a bracket is not closed"
      return inner
    }
    if (token === "NOT" || token === "-") {
      const inner = primary()
      return (resource) => !inner(resource)
    }
    const operator = all[at++]
    const wanted = all[at++]
    if (token === undefined || wanted === undefined || !/^(=|!=|:|<|>|<=|>=)$/.test(operator ?? "")) {
      failure.message ||= `"${token ?? ""} ${operator ?? ""}" is no comparison`
      return () => false
    }
    return (resource) => compare(operator!, valueAt(resource, unquote(token)), unquote(wanted))
  }
  const alternatives = (): Test => {
    const parts = [primary()]
    while (all[at] === "OR") {
      at++
      parts.push(primary())
    }
    return (resource) => parts.some((part) => part(resource))
  }
  const expression = (): Test => {
    const parts = [alternatives()]
    while (at < all.length && all[at] !== ")") {
      if (all[at] === "AND") at++
      parts.push(alternatives())
    }
    return (resource) => parts.every((part) => part(resource))
  }
  if (all.length === 0) return Either.right(() => true)
  const test = expression()
  if (at < all.length) failure.message ||= `"${all[at]}" is not expected there`
  return failure.message === "" ? Either.right(test) : Either.left(`The filter can't be read: ${failure.message}.`)
}

/** `field [desc]`, several with commas. */
export const sorted = <A>(items: ReadonlyArray<A>, orderBy: string): ReadonlyArray<A> => {
  const keys = orderBy
    .split(",")
    .map((part) => part.trim().split(/\s+/))
    .filter(([field]) => field !== undefined && field !== "")
  return [...items].sort((a, b) => {
    for (const [field, direction] of keys) {
      const left = String(valueAt(a, field!) ?? "")
      const right = String(valueAt(b, field!) ?? "")
      if (left !== right) return (left < right ? -1 : 1) * (direction?.toLowerCase() === "desc" ? -1 : 1)
    }
    return 0
  })
}
