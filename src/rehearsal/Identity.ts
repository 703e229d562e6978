/** The platform's identity for a rehearsal: a dev issuer with real signatures, served as Google's metadata server is. */
import { createServer } from "node:http"
import { Effect, type Scope } from "effect"
import * as DevIssuer from "../domain/DevIssuer.ts"
import { ToolFailed } from "./Errors.ts"

export interface Identity {
  readonly issuer: DevIssuer.DevIssuer
  readonly audience: string
  /** `host:port`, for `GCE_METADATA_HOST`. */
  readonly metadataHost: string
  readonly jwksUrl: string
  /** A token for the gateway, of the rehearsal's own user. */
  readonly token: Effect.Effect<string>
}

const AUDIENCE = "agent-gateway"
const TENANT = "rehearsal"
const PORT = 8080

export const serve = (address: string): Effect.Effect<Identity, ToolFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const url = `http://${address}:${PORT}`
    const issuer = yield* DevIssuer.make({
      issuer: url,
      subject: { tenant: TENANT, subject: "rehearsal", email: "rehearsal@localhost" }
    })
    yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>, ToolFailed>((resume) => {
        const server = createServer(issuer.handler)
        server.once("error", (error) =>
          resume(
            new ToolFailed({
              message: `The identity provider could not listen on ${address}:${PORT}: ${error.message}`
            })
          )
        )
        server.listen(PORT, address, () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    return {
      issuer,
      audience: AUDIENCE,
      metadataHost: `${address}:${PORT}`,
      jwksUrl: `${url}/jwks`,
      token: issuer.issue({ audience: AUDIENCE })
    }
  })
