/** The HTTP routes' handlers, and the one place where whatever went wrong becomes a problem document. */
import {
  HttpApiBuilder,
  HttpApiError,
  type HttpApp,
  HttpIncomingMessage,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { Cause, Effect, Layer, Option, Redacted, type Scope } from "effect"
import { Authenticated, GatewayApi, type Health, MAX_BODY_BYTES } from "../domain/Api.ts"
import { ASYNC_API_PATH } from "../domain/AsyncApi.ts"
import { CurrentCaller } from "../domain/Caller.ts"
import { RPC_PATH } from "../domain/EdgeRpcs.ts"
import { PROBLEM_MEDIA_TYPE, Problem, problem, toDocument } from "../domain/Problem.ts"
import { Admission, clientAddress, ProxyHops } from "./Admission.ts"
import { Identity } from "./Identity.ts"
import { Lifecycle } from "./Lifecycle.ts"
import { Operations } from "./Operations.ts"
import { AllowedOrigins, cors } from "./Origins.ts"
import { Checks } from "./Ports.ts"

const AuthenticatedLive = Layer.effect(
  Authenticated,
  Effect.map(Identity, (identity) => ({
    bearer: (token) => Effect.map(identity.verify(Redacted.value(token)), (caller) => ({ ...caller, token }))
  }))
)

const RunsLive = HttpApiBuilder.group(GatewayApi, "runs", (handlers) =>
  Effect.map(Operations, (operations) =>
    handlers
      .handle("start", ({ path, payload }) =>
        Effect.flatMap(CurrentCaller, (caller) => operations.start(caller, path.sessionId, payload))
      )
      .handle("status", ({ path }) => Effect.flatMap(CurrentCaller, (caller) => operations.status(caller, path.runId)))
      .handle("events", ({ path, urlParams }) =>
        Effect.flatMap(CurrentCaller, (caller) =>
          operations.events(caller, path.runId, urlParams.after, urlParams.limit)
        )
      )
      .handle("cancel", ({ path }) => Effect.flatMap(CurrentCaller, (caller) => operations.cancel(caller, path.runId)))
      .handle("approve", ({ path }) =>
        Effect.flatMap(CurrentCaller, (caller) => operations.approve(caller, path.runId))
      )
  )
)

/** A probe that hangs is worth less than one that says no: the kubelet waits 2 s. */
const CHECK_TIMEOUT = "1500 millis"

const HealthLive = HttpApiBuilder.group(GatewayApi, "health", (handlers) =>
  Effect.gen(function* () {
    const lifecycle = yield* Lifecycle
    const checks = yield* Checks
    return handlers
      .handle("healthz", () => Effect.succeed<Health>({ status: "alive", checks: [] }))
      .handle("readyz", () =>
        Effect.gen(function* () {
          const results = yield* Effect.forEach(
            checks,
            ({ name, run }) =>
              run.pipe(
                Effect.timeoutFail({ duration: CHECK_TIMEOUT, onTimeout: () => `no answer within ${CHECK_TIMEOUT}` }),
                Effect.match({
                  onSuccess: () => ({ name, ok: true, detail: "" }),
                  onFailure: (detail) => ({ name, ok: false, detail })
                })
              ),
            { concurrency: "unbounded" }
          )
          const stopping = yield* lifecycle.isStopping
          const all = [
            ...results,
            { name: "not-stopping", ok: !stopping, detail: stopping ? "SIGTERM was received" : "" }
          ]
          if (all.every(({ ok }) => ok)) return { status: "ready", checks: all } satisfies Health
          return yield* Effect.fail<Health>({ status: "not ready", checks: all })
        })
      )
  })
)

const documentResponse = (error: Problem) =>
  HttpServerResponse.unsafeJson(toDocument(error), {
    status: error.status,
    contentType: PROBLEM_MEDIA_TYPE,
    headers: error.retryAfter === undefined ? {} : { "retry-after": String(error.retryAfter) }
  })

/** What a failure is to the client. `undefined`: nothing the client can be told more about. */
const fromFailure = (failure: unknown): Problem | undefined => {
  if (failure instanceof Problem) return failure
  if (failure instanceof HttpApiError.HttpApiDecodeError) {
    const reasons = failure.issues.map(({ path, message }) =>
      path.length > 0 ? `${path.join(".")}: ${message}` : message
    )
    return problem("malformed-request", reasons.slice(0, 5).join("; "))
  }
  if (failure instanceof HttpServerError.RouteNotFound) {
    return problem("route-not-found", `Nothing answers ${failure.request.method} here. See /openapi.json.`)
  }
  if (failure instanceof HttpServerError.RequestError) {
    const cause = failure.cause
    return cause instanceof SyntaxError
      ? problem("malformed-request", `The body is not JSON: ${cause.message}.`)
      : problem("malformed-request", "The body broke off, or could not be read.")
  }
  return undefined
}

/** Probes come from the kubelet and must never be refused. */
const PROBES: ReadonlyArray<string> = ["/healthz", "/readyz"]

const guardRate = Effect.gen(function* () {
  const admission = yield* Admission
  const hops = yield* ProxyHops
  return Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    // All users come to `/rpc` from the few addresses of the edge, which limits theirs itself.
    if (PROBES.includes(request.url) || request.url === RPC_PATH) return
    const remote = Option.getOrUndefined(request.remoteAddress)
    yield* admission.address(clientAddress(remote, request.headers["x-forwarded-for"], hops))
  })
})

/** Refused before anything is read: too large by its own word, or of a kind that would be spooled to disk. */
const guardBody = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  if (request.method !== "POST") return
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) {
    return yield* problem("body-too-large", `A body may have at most ${MAX_BODY_BYTES} bytes.`)
  }
  // A body without an end in sight could only be refused by breaking the connection, which tells the client nothing.
  if (request.headers["transfer-encoding"] !== undefined) {
    return yield* problem("length-required", "Send `Content-Length` instead of `Transfer-Encoding: chunked`.")
  }
  const type = request.headers["content-type"]
  if (type !== undefined && !/^application\/json\s*(;|$)/i.test(type)) {
    return yield* problem("media-type-unsupported", "Send `Content-Type: application/json`.")
  }
})

/**
 * Makes a problem document of every failure and defect, so that no route can answer in another form.
 *
 * HttpApi types the failures that pass here as `never`, since it encodes them itself right after: those that are left to it
 * (a readiness that says no) go on as they are.
 */
const problems = Effect.map(
  guardRate,
  (rate) =>
    (app: HttpApp.Default): HttpApp.Default =>
      rate.pipe(
        Effect.andThen(guardBody),
        Effect.andThen(app),
        Effect.catchAllCause((cause) => {
          const known = fromFailure(Cause.squash(cause))
          if (known !== undefined) return Effect.succeed(documentResponse(known))
          if (Cause.isFailure(cause) || Cause.isInterruptedOnly(cause))
            return Effect.failCause(cause as Cause.Cause<never>)
          return Effect.logError("a request failed", cause).pipe(
            Effect.as(documentResponse(problem("internal-error", "The failure was logged.")))
          )
        })
      )
)

/** What a gateway answers besides the API: calls of edges, if there are any, and what its sockets speak. */
export interface Besides {
  readonly rpc: HttpApp.Default<never, Scope.Scope> | undefined
  readonly asyncApi: Readonly<Record<string, unknown>>
}

/** Inside of `problems`, so that its guards hold here as well. */
const answering =
  ({ rpc, asyncApi }: Besides) =>
  (app: HttpApp.Default): HttpApp.Default => {
    const document = HttpServerResponse.unsafeJson(asyncApi)
    return Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) => {
      if (method === "POST" && url === RPC_PATH && rpc !== undefined) return Effect.scoped(rpc)
      return method === "GET" && url === ASYNC_API_PATH ? Effect.succeed(document) : app
    })
  }

const ApiLive = HttpApiBuilder.api(GatewayApi).pipe(
  Layer.provide([RunsLive, HealthLive]),
  Layer.provide(AuthenticatedLive)
)

/** The whole of the HTTP side: routes, `/openapi.json`, problems, the bound on bodies. */
export const httpApp = (besides?: Besides) =>
  Effect.map(Effect.all([HttpApiBuilder.httpApp, AllowedOrigins]), ([app, origins]) =>
    HttpIncomingMessage.withMaxBodySize(cors(origins)(app), Option.some(MAX_BODY_BYTES))
  ).pipe(
    Effect.provide(
      Layer.mergeAll(
        HttpApiBuilder.middlewareOpenApi({ path: "/openapi.json" }),
        HttpApiBuilder.middleware(
          Effect.map(problems, (guarded) => (app) => guarded(besides === undefined ? app : answering(besides)(app)))
        )
      ).pipe(
        Layer.provideMerge(ApiLive),
        Layer.provideMerge(Layer.mergeAll(HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer))
      )
    )
  )
