/**
 * The token with which this service signs in elsewhere: from the metadata server that every workload on Google Cloud has.
 *
 * Tokens hold for an hour and are fetched again before they end. While a new one can't be had, the old one serves.
 */
import { Clock, Data, Duration, Effect, Redacted, Schedule } from "effect"
import { METADATA_IDENTITY_PATH } from "../../domain/DevIssuer.ts"

export class NoServiceToken extends Data.TaggedError("NoServiceToken")<{ readonly message: string }> {}

const FETCH_TIMEOUT = Duration.seconds(2)
/** Before the end of a token: longer than any request takes, and than clocks differ. */
const EARLY = Duration.toMillis("5 minutes")

const expiryOf = (token: string): number => {
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"))
  const exp = typeof claims === "object" && claims !== null && "exp" in claims ? Number(claims.exp) : Number.NaN
  if (!Number.isFinite(exp)) throw new Error("the token does not say when it ends")
  return exp * 1000
}

export interface ServiceTokenOptions {
  /** `metadata.google.internal`, or `host:port` of a server that speaks the same. */
  readonly metadataHost: string
  /** Whom the token is for: exactly what the other side expects. */
  readonly audience: string
}

/** An effect that has a valid token at hand. */
export const make = ({ metadataHost, audience }: ServiceTokenOptions) =>
  Effect.gen(function* () {
    const url = `http://${metadataHost}${METADATA_IDENTITY_PATH}?audience=${encodeURIComponent(audience)}&format=full`
    const lock = yield* Effect.makeSemaphore(1)
    let held: { readonly token: Redacted.Redacted; readonly end: number } | undefined

    const fetched = Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(url, { headers: { "Metadata-Flavor": "Google" }, signal })
        const body = (await response.text()).trim()
        if (response.status !== 200) throw new Error(`it answered ${response.status}`)
        return { token: Redacted.make(body), end: expiryOf(body) }
      },
      catch: (cause) =>
        new NoServiceToken({
          message: `The metadata server ${metadataHost} gave no token: ${cause instanceof Error ? cause.message : "unknown"}`
        })
    }).pipe(
      Effect.timeoutFail({
        duration: FETCH_TIMEOUT,
        onTimeout: () => new NoServiceToken({ message: `The metadata server ${metadataHost} did not answer in time` })
      }),
      Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo("1 second")))
    )

    return Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (held !== undefined && now < held.end - EARLY) return held.token
      const fresh = yield* Effect.either(fetched)
      if (fresh._tag === "Right") held = fresh.right
      else if (held === undefined || now >= held.end) return yield* fresh.left
      return held.token
    }).pipe(lock.withPermits(1))
  })
