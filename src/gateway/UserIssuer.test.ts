/** As on Google Cloud: services have Google's tokens, browsers those of the users' issuer, and both come to the same gateway. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { AUDIENCE, connect, testGateway, testIssuer, USER_AUDIENCE } from "../../test/support/gateway.ts"
import * as Identity from "./Identity.ts"

const SMOKE = "agent-smoke@example.iam.gserviceaccount.com"

const world = Effect.gen(function* () {
  const users = yield* testIssuer("https://users.test")
  const config = { issuer: users.issuer, audience: USER_AUDIENCE, jwksUrl: new URL(`${users.url}/jwks`) }
  const gateway = yield* testGateway({ users: config, serviceTenants: new Map([[SMOKE, "service"]]) })
  return { users, config, gateway }
})

it.scopedLive("opens a browser's socket with a token of the users' issuer, beside those of services", () =>
  Effect.gen(function* () {
    const { gateway, users } = yield* world
    const token = yield* users.issue({ audience: USER_AUDIENCE })
    const browser = yield* connect(`${gateway.url}/ws/s1`, { protocols: ["bearer", token] })
    yield* browser.send({ type: "heartbeat" })
    yield* browser.until((messages) => messages.length === 1)
    yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
  })
)

it.scopedLive("holds each token against its own issuer: neither audience nor keys of the other do", () =>
  Effect.gen(function* () {
    const { gateway, users } = yield* world
    const impostor = yield* testIssuer(users.issuer)
    const tokens = {
      "a user's token for the gateway's audience": yield* users.issue({ audience: AUDIENCE }),
      "a service's token for the users' audience": yield* gateway.issuer.issue({ audience: USER_AUDIENCE }),
      "the users' issuer by name alone": yield* impostor.issue({ audience: USER_AUDIENCE }),
      "a third issuer": yield* (yield* testIssuer("https://elsewhere.test")).issue({ audience: USER_AUDIENCE }),
      "no token at all": "nonsense"
    }
    for (const [what, token] of Object.entries(tokens)) {
      const { status } = yield* gateway.request("GET", "/runs/run-1", { token })
      expect({ what, status }).toEqual({ what, status: 401 })
    }
  })
)

it.scopedLive("takes nobody of the users' issuer for a service, whatever e-mail the token bears", () =>
  Effect.gen(function* () {
    const { config, gateway, users } = yield* world
    const identity = Identity.makeBoth(
      {
        issuer: gateway.issuer.issuer,
        audience: AUDIENCE,
        jwksUrl: new URL(`${gateway.issuer.url}/jwks`),
        serviceTenants: new Map([[SMOKE, "service"]])
      },
      { ...config, serviceTenants: new Map([[SMOKE, "service"]]) }
    )
    const token = yield* users.issue({ audience: USER_AUDIENCE, email: SMOKE, tenant: "" })
    expect(yield* Effect.flip(identity.verify(token))).toMatchObject({ code: "tenant-missing" })
    for (const audience of [AUDIENCE, USER_AUDIENCE]) {
      const edge = yield* users.issue({ audience, email: SMOKE })
      expect(yield* Effect.flip(identity.verifyService(edge))).toMatchObject({ code: "not-signed-in" })
    }
    const real = yield* gateway.issuer.issue({ audience: AUDIENCE, email: SMOKE, tenant: "" })
    expect(yield* identity.verifyService(real)).toEqual({ email: SMOKE })
  })
)
