/**
 * Google's metadata server for one service account, as GKE's Workload Identity gives one to each pod.
 *
 * GKE knows the caller by its pod's address. Here all processes call from 127.0.0.1, so each service account has a server of its own, and its pods
 * are told which by `GCE_METADATA_HOST`.
 */
import type { Effect, Scope } from "effect"
import type { DriverFailed } from "../Driver.ts"
import { serve, text } from "./LocalServer.ts"

export interface Identity {
  /** Signs an identity token. */
  readonly sign: (input: { readonly serviceAccount: string; readonly audience: string }) => Promise<string>
  /** The JSON Web Key Set that verifies them. */
  readonly jwks: () => Promise<unknown>
}

const FLAVOR = { "Metadata-Flavor": "Google" }
const ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"

const missing = text(
  503,
  "This cluster was opened without an identity issuer, so nothing can sign a token. Give the process driver its `identity` option."
)

export const open = (
  address: string,
  account: { readonly name: string; readonly email: string },
  identity: Identity | undefined
): Effect.Effect<string, DriverFailed, Scope.Scope> =>
  serve(address, async (request, url) => {
    if (request.headers["metadata-flavor"] !== "Google") {
      return text(403, "Missing required header: Metadata-Flavor: Google")
    }
    switch (url.pathname) {
      case `${ACCOUNT}/identity`: {
        const audience = url.searchParams.get("audience")
        if (!audience) return { ...text(400, "non-empty audience parameter required"), headers: FLAVOR }
        if (identity === undefined) return missing
        return { ...text(200, await identity.sign({ serviceAccount: account.name, audience })), headers: FLAVOR }
      }
      case `${ACCOUNT}/email`:
        return { ...text(200, account.email), headers: FLAVOR }
      case "/":
        return { ...text(200, "computeMetadata/"), headers: FLAVOR }
      default:
        return { ...text(404, `The process driver's metadata server has no ${url.pathname}`), headers: FLAVOR }
    }
  })

/** The key set, at `/certs`, for whoever verifies the tokens. */
export const openKeys = (address: string, identity: Identity | undefined) =>
  serve(address, async (_request, url) => {
    if (url.pathname !== "/certs") return text(404, `Only /certs is here, not ${url.pathname}`)
    return identity === undefined ? missing : { status: 200, body: await identity.jwks() }
  })
