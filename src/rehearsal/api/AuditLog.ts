/**
 * The little of Cloud Logging that a rollout's record asks for: who approved it. Google's audit log has an entry for each call; here only
 * approvals and rejections are kept, and only they are answered.
 */
import { Effect } from "effect"
import { fail, type GoogleError } from "../engine/GoogleError.ts"
import type { Store } from "../engine/Store.ts"

export const PATH = "/v2/entries:list"

const METHOD = "google.cloud.deploy.v1.CloudDeploy.ApproveRollout"
const CONDITION = /^(logName|protoPayload\.methodName|protoPayload\.resourceName)="([^"]*)"$|^timestamp>="([^"]+)"$/

interface Question {
  readonly rollout: string
  readonly since: number
}

/** The rollout that a filter is about. Pure; undefined where it asks for more than this log has. */
export const questionOf = (filter: unknown): Question | undefined => {
  if (typeof filter !== "string") return undefined
  const asked: Record<string, string> = {}
  for (const part of filter.split(" AND ")) {
    const found = CONDITION.exec(part.trim())
    if (found === null) return undefined
    asked[found[1] ?? "timestamp"] = found[2] ?? found[3] ?? ""
  }
  const rollout = asked["protoPayload.resourceName"]
  const since = Date.parse(asked["timestamp"] ?? "1970-01-01T00:00:00Z")
  return asked["protoPayload.methodName"] === METHOD && rollout !== undefined && !Number.isNaN(since)
    ? { rollout, since }
    : undefined
}

/** Of one answer to whether a rollout may go on. Pure. */
export const entryOf = (answer: {
  readonly rollout: string
  readonly approved: boolean
  /** As `principalEmail`; null where nobody is named. */
  readonly principal: string | null
  /** ISO 8601. */
  readonly at: string
}) => ({
  timestamp: answer.at,
  protoPayload: {
    methodName: METHOD,
    resourceName: answer.rollout,
    ...(answer.principal === null ? {} : { authenticationInfo: { principalEmail: answer.principal } }),
    request: { name: answer.rollout, approved: answer.approved }
  }
})

/** For hooks: where they may ask about their rollout, Cloud Deploy and the audit log alike, and with which token. Pure. */
export const hookEnvironment = (url: string, token: string): Readonly<Record<string, string>> => ({
  CLOUD_DEPLOY_API_URL: url,
  CLOUD_LOGGING_API_URL: url,
  CLOUD_DEPLOY_API_TOKEN: token
})

export const entries = (store: Store, body: unknown): Effect.Effect<object, GoogleError> =>
  Effect.gen(function* () {
    const question = questionOf((body as { readonly filter?: unknown } | null)?.filter)
    if (question === undefined) {
      return yield* fail(
        "INVALID_ARGUMENT",
        `Of Cloud Logging there are only approvals here: a filter of protoPayload.methodName="${METHOD}", protoPayload.resourceName, logName and timestamp>=, joined by AND.`
      )
    }
    const found = yield* store.approvalsOf(question.rollout)
    return {
      entries: found
        .filter(({ at }) => Date.parse(at) >= question.since)
        .map(({ approved, principal, at }) => entryOf({ rollout: question.rollout, approved, principal, at }))
    }
  })
