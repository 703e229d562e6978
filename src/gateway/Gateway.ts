/** The gateway as a whole: HTTP and WebSocket on one port, over what `Ports.ts` asks for. */
import { NodeHttpServer } from "@effect/platform-node"
import { type Duration, Effect, Layer } from "effect"
import { DefaultModel, httpApp } from "./HttpHandlers.ts"
import * as Identity from "./Identity.ts"
import { Lifecycle } from "./Lifecycle.ts"
import * as Listener from "./Listener.ts"
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
  readonly socketLimits?: SocketLimits
}

/** Serves until the scope closes; then drains. Returns the port. */
export const serve = (options: GatewayOptions) =>
  Effect.gen(function* () {
    const sockets = yield* Sockets.Sockets
    const handler = yield* NodeHttpServer.makeHandler(yield* httpApp)
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
  Sockets.layer(options.socketLimits).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Lifecycle.layer,
        Identity.layer(options.identity),
        Layer.succeed(DefaultModel, options.defaultModel),
        NodeHttpServer.layerContext
      )
    )
  )
