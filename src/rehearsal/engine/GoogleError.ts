/** A refusal in Google's form: `{"error": {"code", "status", "message"}}`. */
import { Data } from "effect"

const CODES = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  ABORTED: 409,
  INTERNAL: 500
} as const

export type Status = keyof typeof CODES

export class GoogleError extends Data.TaggedError("GoogleError")<{
  readonly status: Status
  readonly message: string
}> {
  get code(): number {
    return CODES[this.status]
  }
  get body() {
    return { error: { code: this.code, status: this.status, message: this.message } }
  }
}

export const fail = (status: Status, message: string) => new GoogleError({ status, message })
export const notFound = (name: string) => fail("NOT_FOUND", `Resource "${name}" was not found.`)
