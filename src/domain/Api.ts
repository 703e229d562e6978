/**
 * The gateway's HTTP contract: routes, schemas, and which problems each operation may answer with.
 *
 * The OpenAPI document at `/openapi.json` is generated from this, and a typed client comes from it for free
 * (`HttpApiClient.make(GatewayApi)`).
 */
import {
  HttpApi,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema,
  HttpApiSecurity,
  OpenApi
} from "@effect/platform"
import { Schema } from "effect"
import { Ask } from "./AgentRpcs.ts"
import { CurrentCaller } from "./Caller.ts"
import { RecordedEvent } from "./Event.ts"
import { EventId, RunId, SessionId } from "./Ids.ts"
import { PROBLEM_MEDIA_TYPE, problemSchema } from "./Problem.ts"
import { RunView } from "./Run.ts"

/** A request's body, in bytes. A message is a few KB; attachments are not sent this way. */
export const MAX_BODY_BYTES = 65_536
export const MAX_EVENTS_PAGE = 500

export const StartRun = Schema.Struct({
  /** Chosen by the client: the same id again is the same run, so a start may be repeated safely. */
  runId: Ask.fields.runId,
  message: Ask.fields.message,
  /** Defaults to the gateway's configured model. */
  model: Schema.optional(Ask.fields.model)
}).annotations({ identifier: "StartRun" })
export type StartRun = typeof StartRun.Type

export const EventsPage = Schema.Struct({
  events: Schema.Array(RecordedEvent),
  /** Give this as `after` to read on. */
  next: EventId
}).annotations({ identifier: "EventsPage" })

export const Health = Schema.Struct({
  status: Schema.Literal("alive", "ready", "not ready"),
  checks: Schema.Array(Schema.Struct({ name: Schema.String, ok: Schema.Boolean, detail: Schema.String }))
}).annotations({ identifier: "Health" })
export type Health = typeof Health.Type

/** Verifies the bearer token and provides the caller. */
export class Authenticated extends HttpApiMiddleware.Tag<Authenticated>()("Authenticated", {
  failure: Schema.Union(
    problemSchema("not-signed-in"),
    problemSchema("tenant-missing"),
    problemSchema("identity-unavailable")
  ),
  provides: CurrentCaller,
  security: { bearer: HttpApiSecurity.bearer }
}) {}

const sessionId = HttpApiSchema.param("sessionId", SessionId)
const runId = HttpApiSchema.param("runId", RunId)

const runs = HttpApiGroup.make("runs")
  .add(
    HttpApiEndpoint.post("start")`/agents/${sessionId}/runs`
      .setPayload(StartRun)
      .addSuccess(RunView, { status: 202 })
      .addError(problemSchema("run-in-other-session"))
      .addError(problemSchema("run-differs"))
      .addError(problemSchema("too-many-open-runs"))
      .addError(problemSchema("token-budget-spent"))
      .addError(problemSchema("system-busy"))
      .annotate(OpenApi.Summary, "Start a run; the same runId again answers with the same run")
  )
  .add(
    HttpApiEndpoint.get("status")`/runs/${runId}`
      .addSuccess(RunView)
      .addError(problemSchema("run-not-found"))
      .annotate(OpenApi.Summary, "A run's status")
  )
  .add(
    HttpApiEndpoint.get("events")`/runs/${runId}/events`
      .setUrlParams(
        Schema.Struct({
          after: Schema.optionalWith(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()), {
            default: () => 0
          }),
          limit: Schema.optionalWith(Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, MAX_EVENTS_PAGE)), {
            default: () => MAX_EVENTS_PAGE
          })
        })
      )
      .addSuccess(EventsPage)
      .addError(problemSchema("run-not-found"))
      .annotate(OpenApi.Summary, "A run's events after an event id, in order")
  )
  .add(
    HttpApiEndpoint.post("cancel")`/runs/${runId}/cancel`
      .addSuccess(RunView, { status: 202 })
      .addError(problemSchema("run-not-found"))
      .annotate(OpenApi.Summary, "Cancel a run; a finished run stays as it is")
  )
  .add(
    HttpApiEndpoint.post("approve")`/runs/${runId}/approve`
      .addSuccess(RunView, { status: 202 })
      .addError(problemSchema("run-not-found"))
      .addError(problemSchema("run-finished"))
      .addError(problemSchema("run-not-waiting"))
      .annotate(OpenApi.Summary, "Let a run that waits for approval go on; again is harmless")
  )
  .addError(problemSchema("malformed-request"))
  .addError(problemSchema("length-required"))
  .addError(problemSchema("body-too-large"))
  .addError(problemSchema("media-type-unsupported"))
  .addError(problemSchema("rate-limited"))
  .addError(problemSchema("internal-error"))
  .addError(problemSchema("agents-unavailable"))
  .addError(problemSchema("database-unavailable"))
  .middleware(Authenticated)

const health = HttpApiGroup.make("health")
  .add(HttpApiEndpoint.get("healthz", "/healthz").addSuccess(Health).annotate(OpenApi.Summary, "The process is alive"))
  .add(
    HttpApiEndpoint.get("readyz", "/readyz")
      .addSuccess(Health)
      .addError(Health, { status: 503 })
      .annotate(OpenApi.Summary, "The gateway can serve: database, migrations, cluster, not stopping")
  )

/**
 * The generator merges problems of one status into a union and forgets their media type. Says it again, for every status
 * from 400 up whose document is a problem (readiness is none).
 */
const withProblemMediaType = (spec: Record<string, unknown>): Record<string, unknown> => {
  const json: unknown = JSON.parse(JSON.stringify(spec), (key, value: unknown) => {
    if (!/^[45]\d\d$/.test(key) || typeof value !== "object" || value === null || !("content" in value)) return value
    const content = value.content as Record<string, unknown>
    const schema = content["application/json"]
    return JSON.stringify(schema ?? null).includes("/Problem.")
      ? { ...value, content: { [PROBLEM_MEDIA_TYPE]: schema } }
      : value
  })
  return json as Record<string, unknown>
}

export class GatewayApi extends HttpApi.make("gateway")
  .add(runs)
  .add(health)
  .annotate(OpenApi.Title, "Agent gateway")
  .annotate(OpenApi.Version, "1")
  .annotate(OpenApi.Transform, withProblemMediaType)
  .annotate(
    OpenApi.Description,
    "Start durable agent runs and follow their events. Events are streamed at the WebSocket `/ws/{sessionId}?lastEventId=`."
  ) {}
