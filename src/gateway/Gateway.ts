/** The gateway as a whole: HTTP and WebSocket on one port, over what `Ports.ts` asks for. */
import type { RequestListener } from "node:http"
import { HttpMiddleware } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { type Duration, Effect, Layer } from "effect"
import { asyncApi } from "../domain/AsyncApi.ts"
import { render } from "../runtime/Prometheus.ts"
import * as Admission from "./Admission.ts"
import { type EdgeAccess, EdgeAccessConfig, rpcApp } from "./EdgeRpc.ts"
import { httpApp } from "./HttpHandlers.ts"
import * as Identity from "./Identity.ts"
import { Lifecycle } from "./Lifecycle.ts"
import * as Listener from "./Listener.ts"
import * as Operations from "./Operations.ts"
import { AllowedOrigins } from "./Origins.ts"
import { answered } from "./RequestCount.ts"
import type { SocketLimits } from "./SessionSocket.ts"
import * as Sockets from "./Sockets.ts"

export interface GatewayOptions {
  readonly host: string
  readonly port: number
  readonly drainWindow: Duration.DurationInput
  readonly drainLimit: Duration.DurationInput
  readonly idleLimit: Duration.DurationInput
  readonly identity: Identity.IdentityConfig
  readonly defaultModel: string
  readonly admission: Admission.AdmissionLimits
  /** Proxies of ours between a client and this process: see `Admission.clientAddress`. */
  readonly proxyHops: number
  /** Origins of web pages that may call. */
  readonly origins: ReadonlyArray<string>
  readonly edge: EdgeAccess
  readonly socketLimits?: SocketLimits
}

/** Serves until the scope closes; then drains. Returns the port. */
export const serve = (options: GatewayOptions) =>
  Effect.gen(function* () {
    const sockets = yield* Sockets.Sockets
    const routes = yield* NodeHttpServer.makeHandler(yield* httpApp({ rpc: yield* rpcApp, asyncApi: asyncApi() })).pipe(
      // Probes come every few seconds and would be most of all traces.
      Effect.locally(HttpMiddleware.currentTracerDisabledWhen, ({ url }) => url === "/healthz" || url === "/readyz")
    )
    // Not a part of the API: what Prometheus reads, without a word on any tenant.
    const handler: RequestListener = (request, response) => {
      if (request.url !== "/metrics") {
        if (request.url !== "/healthz" && request.url !== "/readyz") {
          response.once("finish", () => answered(response.statusCode))
        }
        return routes(request, response)
      }
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(render())
    }
    return yield* Listener.serve({
      host: options.host,
      port: options.port,
      drainWindow: options.drainWindow,
      drainLimit: options.drainLimit,
      idleLimit: options.idleLimit,
      handler,
      upgrade: sockets.upgrade,
      closeSockets: sockets.closeAll
    })
  })

/** What `serve` needs beside the ports. */
export const layer = (options: GatewayOptions) =>
  Layer.mergeAll(Sockets.layer(options.socketLimits), Operations.layer).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(EdgeAccessConfig, options.edge),
        Lifecycle.layer,
        Admission.layer(options.admission),
        Layer.succeed(Admission.ProxyHops, options.proxyHops),
        Layer.succeed(AllowedOrigins, options.origins),
        Identity.layer(options.identity, options.edge.users),
        Layer.succeed(Operations.DefaultModel, options.defaultModel),
        NodeHttpServer.layerContext
      )
    )
  )
