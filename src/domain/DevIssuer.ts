/**
 * An identity provider for a laptop and for tests: real ES256 signatures, with keys that are made at start and never stored.
 *
 * Speaks two forms over HTTP: the key set that the gateway reads (`/jwks`), and Google's metadata server, from which jobs
 * and smoke fetch their token exactly as on GCP. There is no switch in the gateway that believes an unsigned token: locally
 * only the issuer differs.
 */
import type { RequestListener } from "node:http"
import { Effect } from "effect"
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from "jose"

export const METADATA_IDENTITY_PATH = "/computeMetadata/v1/instance/service-accounts/default/identity"
const ALGORITHM = "ES256"
/** As Google's ID tokens. */
const LIFETIME_SECONDS = 3600

export interface Subject {
  readonly tenant: string
  readonly subject: string
  readonly email: string
}

export interface TokenRequest extends Partial<Subject> {
  readonly audience: string | Array<string>
  /** Negative for a token that has expired. */
  readonly lifetimeSeconds?: number
}

export interface DevIssuer {
  readonly issuer: string
  readonly jwks: JSONWebKeySet
  readonly issue: (request: TokenRequest) => Effect.Effect<string>
  /** Serves `/jwks` and the metadata server's identity path. Tokens from the latter are for `subject`. */
  readonly handler: RequestListener
}

/** Makes a key pair and the issuer that signs with it. */
export const make = (options: { readonly issuer: string; readonly subject: Subject }): Effect.Effect<DevIssuer> =>
  Effect.gen(function* () {
    const { privateKey, publicKey } = yield* Effect.promise(() => generateKeyPair(ALGORITHM))
    const kid = crypto.randomUUID()
    const jwk = yield* Effect.promise(() => exportJWK(publicKey))
    const jwks: JSONWebKeySet = { keys: [{ ...jwk, kid, use: "sig", alg: ALGORITHM }] }

    const sign = async (request: TokenRequest) => {
      const now = Math.floor(Date.now() / 1000)
      return await new SignJWT({
        email: request.email ?? options.subject.email,
        email_verified: true,
        tenant: request.tenant ?? options.subject.tenant
      })
        .setProtectedHeader({ alg: ALGORITHM, kid, typ: "JWT" })
        .setIssuer(options.issuer)
        .setAudience(request.audience)
        .setSubject(request.subject ?? options.subject.subject)
        .setIssuedAt(now)
        .setExpirationTime(now + (request.lifetimeSeconds ?? LIFETIME_SECONDS))
        .sign(privateKey)
    }

    const handler: RequestListener = (request, response) => {
      const url = new URL(request.url ?? "/", "http://issuer")
      const answer = (status: number, type: string, body: string) => {
        response.writeHead(status, { "content-type": type, "metadata-flavor": "Google" })
        response.end(body)
      }
      if (url.pathname === "/jwks") return answer(200, "application/json", JSON.stringify(jwks))
      if (url.pathname !== METADATA_IDENTITY_PATH) return answer(404, "text/plain", "not found\n")
      // The real server demands the header too: it keeps a browser from being tricked into asking.
      if (request.headers["metadata-flavor"] !== "Google") {
        return answer(403, "text/plain", "the header Metadata-Flavor: Google is missing\n")
      }
      const audience = url.searchParams.get("audience")
      if (audience === null || audience === "")
        return answer(400, "text/plain", "non-empty audience parameter required\n")
      sign({ audience }).then(
        (token) => answer(200, "text/html", token),
        () => answer(500, "text/plain", "the token could not be signed\n")
      )
    }

    return { issuer: options.issuer, jwks, issue: (request) => Effect.promise(() => sign(request)), handler }
  })
