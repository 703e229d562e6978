/** The operations as an edge has them: asked of a gateway by typed calls, in the user's name. */
import { FetchHttpClient, HttpClient, HttpClientError, HttpClientRequest } from "@effect/platform"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import { Duration, Effect, Layer, Redacted, Schedule } from "effect"
import type { Caller } from "../../domain/Caller.ts"
import { EdgeRpcs, RPC_PATH, USER_TOKEN_HEADER } from "../../domain/EdgeRpcs.ts"
import { type Problem, problem } from "../../domain/Problem.ts"
import { Operations } from "../Operations.ts"
import * as ServiceToken from "./ServiceToken.ts"

export interface GatewayAddress {
  readonly url: URL
  readonly token: ServiceToken.ServiceTokenOptions
}

/** A gateway waits for a runner for 20 s before it says 503. */
const CALL_TIMEOUT = Duration.seconds(25)
/** All operations may be sent again: a gateway that just went is replaced by another at once. */
const again = Schedule.exponential("50 millis").pipe(
  Schedule.union(Schedule.spaced("500 millis")),
  Schedule.upTo("5 seconds")
)

const unavailable = problem("agents-unavailable", "No gateway answered in time. The call can be sent again as it is.", {
  retryAfter: 2
})

/** The user was verified here already. A gateway that says no has other keys or another audience than this edge. */
type Refused = Problem<"not-signed-in"> | Problem<"tenant-missing"> | Problem<"identity-unavailable">

const isRefused = (error: Problem): error is Refused =>
  error.code === "not-signed-in" || error.code === "tenant-missing" || error.code === "identity-unavailable"

const asked = <A, E extends Problem>(
  caller: Caller,
  call: Effect.Effect<A, E | RpcClientError>
): Effect.Effect<A, Exclude<E, Refused> | Problem<"agents-unavailable">> =>
  call.pipe(
    Effect.retry({ schedule: again, while: (error) => error._tag === "RpcClientError" }),
    RpcClient.withHeaders({
      [USER_TOKEN_HEADER]: caller.token === undefined ? "" : Redacted.value(caller.token)
    }),
    Effect.timeoutFail({ duration: CALL_TIMEOUT, onTimeout: () => unavailable }),
    Effect.catchAll((error): Effect.Effect<never, Exclude<E, Refused> | Problem<"agents-unavailable">> => {
      if (error._tag === "RpcClientError") {
        return Effect.logWarning("no gateway answered").pipe(
          Effect.annotateLogs({ reason: error.message }),
          Effect.andThen(unavailable)
        )
      }
      if (isRefused(error)) {
        return Effect.logError("the gateway does not believe this edge, or the tokens of its users").pipe(
          Effect.annotateLogs({ code: error.code }),
          Effect.andThen(unavailable)
        )
      }
      return Effect.fail(error as Exclude<E, Refused>)
    })
  )

export const layer = ({ url, token }: GatewayAddress): Layer.Layer<Operations> =>
  Layer.scoped(
    Operations,
    Effect.gen(function* () {
      const serviceToken = yield* ServiceToken.make(token)
      const http = (yield* HttpClient.HttpClient).pipe(
        HttpClient.mapRequestEffect((request) =>
          serviceToken.pipe(
            // As a failed request, which is tried again and then told as 503.
            Effect.mapError((cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause })),
            Effect.map((bearer) => HttpClientRequest.bearerToken(request, bearer))
          )
        ),
        HttpClient.filterStatusOk,
        HttpClient.mapRequest(HttpClientRequest.prependUrl(new URL(RPC_PATH, url).href))
      )
      const protocol = yield* RpcClient.makeProtocolHttp(http)
      const client = yield* RpcClient.make(EdgeRpcs).pipe(Effect.provideService(RpcClient.Protocol, protocol))
      return Operations.of({
        start: (caller, sessionId, request) => asked(caller, client.Start({ sessionId, request })),
        status: (caller, runId) => asked(caller, client.Status({ runId })),
        events: (caller, runId, after, limit) => asked(caller, client.Events({ runId, after, limit })),
        cancel: (caller, runId) => asked(caller, client.Cancel({ runId })),
        approve: (caller, runId) => asked(caller, client.Approve({ runId }))
      })
    })
  ).pipe(Layer.provide([RpcSerialization.layerJson, FetchHttpClient.layer]))
