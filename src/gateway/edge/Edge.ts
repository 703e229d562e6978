/**
 * The edge: the API of the gateway, for users who come from anywhere. Holds no state and no connection to a database.
 *
 * It verifies the user's token, and asks a gateway by typed calls (`domain/EdgeRpcs.ts`). WebSockets are not its business:
 * Cloud Run cuts a request after 60 minutes, so clients open them at the gateway.
 */
import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import { HttpMiddleware } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { type Duration, Effect, Layer } from "effect"
import * as Admission from "../Admission.ts"
import { httpApp } from "../HttpHandlers.ts"
import * as Identity from "../Identity.ts"
import { Lifecycle } from "../Lifecycle.ts"
import * as Listener from "../Listener.ts"
import { AllowedOrigins } from "../Origins.ts"
import { Checks, Load } from "../Ports.ts"
import type { Rate } from "../TokenBuckets.ts"
import * as Remote from "./Remote.ts"

export interface EdgeOptions {
  readonly host: string
  readonly port: number
  readonly drainLimit: Duration.DurationInput
  readonly idleLimit: Duration.DurationInput
  /** Users and tenants are limited by the gateway, which counts them for all edges. */
  readonly addressRate: Rate
  readonly proxyHops: number
  readonly origins: ReadonlyArray<string>
  readonly identity: Identity.IdentityConfig
  readonly gateway: Remote.GatewayAddress
}

const noSockets = (_request: IncomingMessage, socket: Duplex) => {
  socket.on("error", () => {})
  socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

/** Only the address is asked about here; the rest is the gateway's. */
const addressOnly = (rate: Rate) => {
  const unlimited = { perSecond: 1, burst: Number.POSITIVE_INFINITY }
  return Admission.layer({
    address: rate,
    user: unlimited,
    tenant: unlimited,
    openRuns: Number.POSITIVE_INFINITY,
    queueDepth: Number.POSITIVE_INFINITY,
    tokensPerDay: undefined
  }).pipe(
    Layer.provide(
      Layer.succeed(Load, {
        allowance: () => Effect.succeed({ tokensToday: 0 }),
        tenant: () => Effect.succeed({ open: 0, known: false }),
        working: () => Effect.succeed(0)
      })
    )
  )
}

/** Serves until the scope closes. Returns the port. */
export const serve = (options: EdgeOptions) =>
  Effect.gen(function* () {
    const handler = yield* NodeHttpServer.makeHandler(yield* httpApp()).pipe(
      Effect.locally(HttpMiddleware.currentTracerDisabledWhen, ({ url }) => url === "/healthz" || url === "/readyz")
    )
    return yield* Listener.serve({
      host: options.host,
      port: options.port,
      drainWindow: 0,
      drainLimit: options.drainLimit,
      idleLimit: options.idleLimit,
      handler,
      upgrade: noSockets,
      closeSockets: Effect.void
    })
  })

export const layer = (options: EdgeOptions) =>
  Layer.mergeAll(
    Lifecycle.layer,
    addressOnly(options.addressRate),
    Layer.succeed(Admission.ProxyHops, options.proxyHops),
    Layer.succeed(AllowedOrigins, options.origins),
    // Ready as soon as it listens: Cloud Run has no use for an edge that waits for its gateway.
    Layer.succeed(Checks, []),
    Identity.layer(options.identity),
    Remote.layer(options.gateway),
    NodeHttpServer.layerContext
  )
