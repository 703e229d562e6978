/**
 * Calls the gateway's HTTP operations with the types of their contract: what is sent fits the schemas, what comes back is read with
 * them, and a refusal is a `Problem` with its code. Each call is made once.
 */
import { FetchHttpClient, HttpApiClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { Effect } from "effect"
import { GatewayApi } from "./Api.ts"

/** `token` is asked for anew for each call: it may run out meanwhile. */
export const make = (options: { readonly baseUrl: string; readonly token: Effect.Effect<string> }) =>
  HttpApiClient.make(GatewayApi, {
    baseUrl: options.baseUrl,
    transformClient: HttpClient.mapRequestEffect((request) =>
      Effect.map(options.token, (token) => HttpClientRequest.bearerToken(request, token))
    )
  }).pipe(Effect.provide(FetchHttpClient.layer))

export type ApiClient = Effect.Effect.Success<ReturnType<typeof make>>
