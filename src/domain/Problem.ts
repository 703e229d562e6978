/**
 * Errors as clients of the gateway meet them: RFC 9457 `application/problem+json` with a stable `code`.
 *
 * A client decides by `code` alone; `detail` is for people and may change. Codes are never renamed or reused.
 */
import { HttpApiSchema } from "@effect/platform"
import { Data, Schema } from "effect"

export const PROBLEM_MEDIA_TYPE = "application/problem+json"

/** Every code, with its status and title. */
export const problems = {
  "malformed-request": { status: 400, title: "The request is not what this operation takes" },
  "not-signed-in": { status: 401, title: "A valid bearer token is needed" },
  "tenant-missing": { status: 403, title: "The token names no tenant" },
  "origin-not-allowed": { status: 403, title: "Pages of this origin may not connect" },
  "run-not-found": { status: 404, title: "There is no such run" },
  "route-not-found": { status: 404, title: "There is no such resource" },
  "run-in-other-session": { status: 409, title: "The run id is taken by a run of another session" },
  "run-differs": { status: 409, title: "The run id is taken by a run with another message or model" },
  "run-not-waiting": { status: 409, title: "The run does not wait for an approval" },
  "run-finished": { status: 409, title: "The run has already finished" },
  "length-required": { status: 411, title: "The request body must say how long it is" },
  "body-too-large": { status: 413, title: "The request body is too large" },
  "media-type-unsupported": { status: 415, title: "The request body must be JSON" },
  "rate-limited": { status: 429, title: "Too many requests" },
  "too-many-open-runs": { status: 429, title: "The tenant has as many open runs as it may have" },
  "token-budget-spent": { status: 429, title: "The tenant's token budget for today is spent" },
  "system-busy": { status: 429, title: "More runs are under way than can be worked on" },
  "internal-error": { status: 500, title: "The gateway failed" },
  "agents-unavailable": { status: 503, title: "No runner answered in time" },
  "database-unavailable": { status: 503, title: "The database did not answer in time" },
  "identity-unavailable": { status: 503, title: "The identity provider did not answer" },
  "shutting-down": { status: 503, title: "This gateway is stopping" }
} as const satisfies Readonly<Record<string, { readonly status: number; readonly title: string }>>

export type ProblemCode = keyof typeof problems

/** A refusal or a failure that a client is told about. `retryAfter` is in seconds. */
export class Problem<Code extends ProblemCode = ProblemCode> extends Data.TaggedError("Problem")<{
  readonly code: ProblemCode
  readonly detail: string
  readonly retryAfter?: number
}> {
  declare readonly code: Code
  override get message(): string {
    return `${this.code}: ${this.detail}`
  }
  get status(): number {
    return problems[this.code].status
  }
}

/** Makes a `Problem` whose type remembers its code. */
export const problem = <Code extends ProblemCode>(
  code: Code,
  detail: string,
  options: { readonly retryAfter?: number } = {}
): Problem<Code> => new Problem<Code>({ code, detail, ...options })

/** The document on the wire. */
export const ProblemDocument = Schema.Struct({
  /** Relative on purpose: it names the code under the gateway that answers, wherever that is. */
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  code: Schema.Literal(...(Object.keys(problems) as [ProblemCode, ...Array<ProblemCode>])),
  detail: Schema.String,
  /** Seconds, as the header `Retry-After`: where an answer has no headers, this is all there is. */
  retryAfter: Schema.optional(Schema.Number)
}).annotations({ identifier: "Problem", description: "RFC 9457 problem document. Decide by `code`." })
export type ProblemDocument = typeof ProblemDocument.Type

export const toDocument = (error: Problem): ProblemDocument => ({
  type: `/problems/${error.code}`,
  title: problems[error.code].title,
  status: error.status,
  code: error.code,
  detail: error.detail,
  ...(error.retryAfter === undefined ? {} : { retryAfter: error.retryAfter })
})

/** The schema of one problem, for an endpoint's declared errors. */
export const problemSchema = <Code extends ProblemCode>(code: Code): Schema.Schema<Problem<Code>, ProblemDocument> =>
  Schema.transform(
    ProblemDocument.pipe(Schema.filter((document) => document.code === code || `another problem than ${code}`)),
    Schema.declare((value): value is Problem<Code> => value instanceof Problem && value.code === code),
    {
      strict: true,
      decode: ({ detail, retryAfter }) => problem(code, detail, retryAfter === undefined ? {} : { retryAfter }),
      encode: (error) => toDocument(error)
    }
  ).annotations({
    identifier: `Problem.${code}`,
    title: code,
    description: problems[code].title,
    ...HttpApiSchema.annotations({ status: problems[code].status }),
    [HttpApiSchema.AnnotationEncoding]: { kind: "Json", contentType: PROBLEM_MEDIA_TYPE }
  })
