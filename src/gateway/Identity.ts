/**
 * Who calls: a bearer token's signature, issuer, expiry and audience, verified; the tenant, from its claims alone.
 *
 * No header names a tenant (`x-tenant-id` from outside is never read), and a token that cannot be verified is refused with
 * one and the same detail whatever was wrong: the reason goes to the log, without the token.
 */
import { Context, Data, Duration, Effect, Layer, Schema } from "effect"
import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify } from "jose"
import type { Caller } from "../domain/Caller.ts"
import { TenantId } from "../domain/Ids.ts"
import { type Problem, problem } from "../domain/Problem.ts"

export interface IdentityConfig {
  readonly issuer: string
  readonly audience: string
  readonly jwksUrl: URL
  /** Tenants of service accounts, by e-mail: Google's tokens name none. */
  readonly serviceTenants?: ReadonlyMap<string, string>
  /** How long after a fetch of the keys an unknown key id does not cause another: tokens with made-up ids must be cheap. */
  readonly keyCooldown?: Duration.DurationInput
}

/** Signatures by key pairs only: with an HMAC a public key could be passed off as the secret. */
const ALGORITHMS = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"]
/** Clocks of machines differ a little. */
const CLOCK_TOLERANCE_SECONDS = 5
const KEY_FETCH_TIMEOUT = Duration.seconds(3)
const KEY_MAX_AGE = Duration.minutes(10)
/** Far above any real token (about 1 KB): nobody makes us hash a megabyte. */
const MAX_TOKEN_LENGTH = 8_192

class Rejected extends Data.TaggedError("Rejected")<{ readonly reason: string }> {}
class KeysUnavailable extends Data.TaggedError("KeysUnavailable")<{ readonly reason: string }> {}

export class Identity extends Context.Tag("gateway/Identity")<
  Identity,
  {
    /** Verifies a bearer token. Fails with 401, with 403 when the token names no tenant, with 503 when no keys can be had. */
    readonly verify: (
      token: string
    ) => Effect.Effect<Caller, Problem<"not-signed-in"> | Problem<"tenant-missing"> | Problem<"identity-unavailable">>
    /** Verifies the token of a service, which has an email and needs no tenant. */
    readonly verifyService: (
      token: string
    ) => Effect.Effect<{ readonly email: string }, Problem<"not-signed-in"> | Problem<"identity-unavailable">>
  }
>() {}

export const notSignedIn = problem(
  "not-signed-in",
  "Send `Authorization: Bearer <token>` with a token that is signed by the expected issuer, is meant for this gateway and has not expired."
)

/** jose's own errors speak of the token; anything else (a refused connection, a timeout) speaks of the key server. */
const classify = (cause: unknown): Rejected | KeysUnavailable => {
  if (cause instanceof errors.JWKSTimeout || cause instanceof errors.JWKSInvalid) {
    return new KeysUnavailable({ reason: cause.code })
  }
  if (cause instanceof errors.JOSEError) {
    // The base class itself is thrown only when the answer of the key server is no key set.
    if (cause.code === "ERR_JOSE_GENERIC") return new KeysUnavailable({ reason: cause.message })
    return new Rejected({ reason: cause.code })
  }
  return new KeysUnavailable({ reason: cause instanceof Error ? cause.message : "unknown" })
}

const decodeTenant = Schema.decodeUnknownOption(TenantId)

export const make = (config: IdentityConfig): Context.Tag.Service<Identity> => {
  const keys = createRemoteJWKSet(config.jwksUrl, {
    timeoutDuration: Duration.toMillis(KEY_FETCH_TIMEOUT),
    cooldownDuration: Duration.toMillis(config.keyCooldown ?? Duration.seconds(30)),
    cacheMaxAge: Duration.toMillis(KEY_MAX_AGE)
  })

  const payloadOf = (token: string): Effect.Effect<JWTPayload, Rejected | KeysUnavailable> =>
    token.length > MAX_TOKEN_LENGTH
      ? Effect.fail(new Rejected({ reason: "too long" }))
      : Effect.tryPromise({
          try: () =>
            jwtVerify(token, keys, {
              issuer: config.issuer,
              audience: config.audience,
              algorithms: ALGORITHMS,
              clockTolerance: CLOCK_TOLERANCE_SECONDS,
              requiredClaims: ["exp", "sub"]
            }),
          catch: classify
        }).pipe(
          Effect.map(({ payload }) => payload),
          // jose is content when the audience is one of several; a token that others accept too is not meant for us alone.
          Effect.filterOrFail(
            ({ aud }) =>
              Array.isArray(aud) ? aud.length === 1 && aud[0] === config.audience : aud === config.audience,
            () => new Rejected({ reason: "more than one audience" })
          )
        )

  const tenantOfService = ({ email, email_verified }: JWTPayload) =>
    typeof email === "string" && email_verified === true ? config.serviceTenants?.get(email) : undefined

  const claims = (token: string) =>
    payloadOf(token).pipe(
      Effect.catchTags({
        Rejected: ({ reason }) =>
          Effect.logWarning("a token was refused").pipe(Effect.annotateLogs({ reason }), Effect.andThen(notSignedIn)),
        KeysUnavailable: ({ reason }) =>
          Effect.logError("the keys of the identity provider could not be fetched").pipe(
            Effect.annotateLogs({ reason, jwksUrl: config.jwksUrl.href }),
            Effect.andThen(
              problem("identity-unavailable", "Tokens cannot be verified at the moment. Try again shortly.", {
                retryAfter: 2
              })
            )
          )
      })
    )

  return {
    verify: Effect.fn("Identity.verify")(function* (token: string) {
      const payload = yield* claims(token)
      const tenantId = decodeTenant(payload["tenant"] || tenantOfService(payload))
      if (tenantId._tag === "None") {
        return yield* problem("tenant-missing", "The token has no usable claim `tenant`: ask your issuer for one.")
      }
      return { tenantId: tenantId.value, subject: payload.sub ?? "" }
    }),
    verifyService: Effect.fn("Identity.verifyService")(function* (token: string) {
      const { email, email_verified } = yield* claims(token)
      // Google sets it on every service account's token; an email that its owner never confirmed names nobody.
      if (typeof email !== "string" || email_verified === false) return yield* notSignedIn
      return { email }
    })
  }
}

/** Not verified: only which issuer's keys a token is then held against. */
const claimedIssuer = (token: string): string | undefined => {
  if (token.length > MAX_TOKEN_LENGTH) return undefined
  try {
    return decodeJwt(token).iss
  } catch {
    return undefined
  }
}

/**
 * Two issuers: of services (hooks, smoke, the edge: Google's) and of users, whose browsers open sockets here, past the edge. Each token
 * is held against its own issuer's keys and audience. Nobody from the users' issuer is a service, whatever e-mail the token bears.
 */
export const makeBoth = (services: IdentityConfig, users: IdentityConfig): Context.Tag.Service<Identity> => {
  const ofServices = make(services)
  if (users.issuer === services.issuer) return ofServices
  const { serviceTenants: _, ...known } = users
  const ofUsers = make(known)
  return {
    verify: (token) => (claimedIssuer(token) === users.issuer ? ofUsers : ofServices).verify(token),
    verifyService: ofServices.verifyService
  }
}

export const layer = (services: IdentityConfig, users: IdentityConfig = services): Layer.Layer<Identity> =>
  Layer.sync(Identity, () => makeBoth(services, users))
