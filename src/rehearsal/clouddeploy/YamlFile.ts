/**
 * YAML that knows where each value stands.
 *
 * `gcloud deploy apply` reports an unknown field as a crash without a line, and inside an automation's rule not at all: it
 * sends an empty rule. So the files are decoded here first, strictly, and every complaint names file, line and key.
 */
import { type ParseResult, Schema } from "effect"
import { ArrayFormatter } from "effect/ParseResult"
import { type Document, isMap, isNode, isScalar, LineCounter, parseAllDocuments, visit } from "yaml"
import { nearest } from "../../domain/Nearest.ts"

export type Path = ReadonlyArray<PropertyKey>

/** One complaint about a file, for a person. */
export interface Problem {
  readonly file: string
  /** Counted from 1. */
  readonly line: number
  /** `serialPipeline.stages[0].targetId`; empty for the whole document. */
  readonly path: string
  readonly message: string
}

export const showProblem = (problem: Problem): string =>
  `${problem.file}:${problem.line}  ${problem.path === "" ? "" : `${problem.path}: `}${problem.message}`

/** One document of a file: its plain value, and the line of everything in it. */
export interface YamlDocument {
  readonly file: string
  readonly value: unknown
  /** The line of the value at this path, or of the nearest thing around it that exists. */
  readonly line: (path: Path) => number
  readonly problem: (path: Path, message: string) => Problem
}

const showPath = (path: Path): string =>
  path.map((step, i) => (typeof step === "number" ? `[${step}]` : i === 0 ? String(step) : `.${String(step)}`)).join("")

const lineIn = (document: Document.Parsed, lines: LineCounter, path: Path): number => {
  for (let length = path.length; length > 0; length--) {
    const steps = path.slice(0, length)
    const parent = document.getIn(steps.slice(0, -1), true)
    // The line of a key, not of its value: `stages:` and its first entry stand on different lines.
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === steps.at(-1))
      if (pair !== undefined && isScalar(pair.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line
    }
    const node = document.getIn(steps, true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  const contents: unknown = document.contents
  return isNode(contents) && contents.range ? lines.linePos(contents.range[0]).line : 1
}

/** Words that YAML 1.1, which Google's tools read, takes for something else than the text that stands there. */
const MISREAD = /^(?:y|yes|n|no|on|off|[0-9]+(?::[0-5]?[0-9])+)$/i

/** All documents of a text. Empty documents are left out. */
export const parseYaml = (
  file: string,
  text: string
): { readonly documents: ReadonlyArray<YamlDocument>; readonly problems: ReadonlyArray<Problem> } => {
  const lines = new LineCounter()
  const problems: Array<Problem> = []
  const documents: Array<YamlDocument> = []
  for (const document of parseAllDocuments(text, { lineCounter: lines, prettyErrors: false })) {
    for (const error of document.errors) {
      problems.push({ file, line: lines.linePos(error.pos[0]).line, path: "", message: error.message })
    }
    visit(document, {
      Scalar: (_, scalar) => {
        if (scalar.type === "PLAIN" && scalar.source !== undefined && MISREAD.test(scalar.source) && scalar.range) {
          problems.push({
            file,
            line: lines.linePos(scalar.range[0]).line,
            path: "",
            message: `${scalar.source} is read as another value by Google's tools (YAML 1.1). Write it as "${scalar.source}", or as true or false.`
          })
        }
      }
    })
    if (document.errors.length > 0) continue
    const value: unknown = document.toJS()
    if (value === null || value === undefined) continue
    const line = (path: Path) => lineIn(document as Document.Parsed, lines, path)
    documents.push({
      file,
      value,
      line,
      problem: (path, message) => ({ file, line: line(path), path: showPath(path), message })
    })
  }
  return { documents, problems }
}

/** What exists in Google's schema, but neither the rehearsal nor `infra/` could carry out. */
export type NotHonoured = Readonly<Record<string, string>>

const explain = (issue: ParseResult.ArrayFormatterIssue, notHonoured: NotHonoured): string => {
  if (issue._tag === "Missing") return "is missing"
  if (issue._tag !== "Unexpected") return issue.message.replace(/\s*\n\s*/g, " ")
  const key = String(issue.path.at(-1))
  const instead = notHonoured[key]
  if (instead !== undefined) return `exists, but neither the rehearsal nor infra/ can carry it out. ${instead}`
  const known = [...issue.message.matchAll(/"([^"]+)"/g)].map((match) => match[1]!)
  const hint = nearest(key, known)
  return `there is no such key here.${hint === undefined ? ` Known: ${known.join(", ")}.` : ` Did you mean "${hint}"?`}`
}

/** Decodes a document strictly: a key that the schema doesn't name is a problem, and all problems are reported at once. */
export const decodeStrictly = <A, I>(
  document: YamlDocument,
  schema: Schema.Schema<A, I>,
  notHonoured: NotHonoured = {}
): { readonly value: A } | { readonly problems: ReadonlyArray<Problem> } => {
  const result = Schema.decodeUnknownEither(schema, { onExcessProperty: "error", errors: "all" })(document.value)
  if (result._tag === "Right") return { value: result.right }
  return {
    problems: ArrayFormatter.formatErrorSync(result.left).map((issue) =>
      document.problem(issue.path, explain(issue, notHonoured))
    )
  }
}

/**
 * A key that may be absent. Not `Schema.optional`: that is a union with undefined, and every mistake inside would be reported
 * a second time as "expected undefined".
 */
export const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })
