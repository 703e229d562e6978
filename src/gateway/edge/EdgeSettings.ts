/** What an edge is told by its environment. */
import { Duration, type Either } from "effect"
import { type Env, Reader, type SettingsRefused } from "../../runtime/Settings.ts"
import { readOrigins, webUrl } from "../GatewaySettings.ts"
import type { EdgeOptions } from "./Edge.ts"

export interface EdgeSettings {
  readonly name: string
  readonly serve: EdgeOptions
}

/** Cloud Run ends a container 10 s after SIGTERM, and sends nothing to it any more by then. */
const DRAIN_LIMIT = Duration.seconds(8)
const IDLE_LIMIT = Duration.seconds(1)

export const readEdge = (env: Env): Either.Either<EdgeSettings, SettingsRefused> => {
  const reader = new Reader(env)
  const rate = reader.integer("ADDRESS_REQUESTS_PER_SECOND", [1, 1_000_000], 50)
  return reader.result({
    // Cloud Run names the revision; there are no pods.
    name: reader.text("POD_NAME", env["K_REVISION"] ?? "edge"),
    serve: {
      host: reader.text("LISTEN_HOST", "0.0.0.0"),
      // As Cloud Run says it.
      port: reader.integer("PORT", [1, 65_535], 8080),
      drainLimit: DRAIN_LIMIT,
      idleLimit: IDLE_LIMIT,
      addressRate: { perSecond: rate, burst: 2 * rate },
      // Google's front end, which writes the client's address last.
      proxyHops: reader.integer("PROXY_HOPS", [0, 10], 1),
      origins: readOrigins(reader),
      identity: {
        issuer: reader.text("USER_ISSUER"),
        audience: reader.text("USER_AUDIENCE"),
        jwksUrl: webUrl(reader, "USER_JWKS_URL")
      },
      gateway: {
        url: webUrl(reader, "GATEWAY_URL"),
        token: {
          metadataHost: reader.text("GCE_METADATA_HOST", "metadata.google.internal"),
          audience: reader.text("IDENTITY_AUDIENCE")
        }
      }
    }
  })
}
