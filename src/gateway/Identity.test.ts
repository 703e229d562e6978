import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { SignJWT, UnsecuredJWT } from "jose"
import { AUDIENCE, testGateway, testIssuer } from "../../test/support/gateway.ts"
import * as Identity from "./Identity.ts"

const claims = { tenant: "acme" }

it.scopedLive("refuses every token that is not signed, current and meant for exactly this gateway", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const { issuer } = gateway
    // Same name, other keys; and a secret that only looks like a key.
    const impostor = yield* testIssuer(issuer.issuer)
    const stranger = yield* testIssuer("https://elsewhere.test")
    const kid = issuer.jwks.keys[0]?.kid ?? ""
    const hmac = yield* Effect.promise(() =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: "HS256", kid })
        .setIssuer(issuer.issuer)
        .setAudience(AUDIENCE)
        .setSubject("ann")
        .setExpirationTime("1h")
        .sign(new TextEncoder().encode(JSON.stringify(issuer.jwks.keys[0])))
    )
    const unsigned = new UnsecuredJWT(claims)
      .setIssuer(issuer.issuer)
      .setAudience(AUDIENCE)
      .setSubject("ann")
      .setExpirationTime("1h")
      .encode()
    const good = gateway.token
    const [header, , signature] = good.split(".")
    const swapped = `${header}.${Buffer.from(JSON.stringify({ tenant: "victim", aud: AUDIENCE, iss: issuer.issuer, sub: "x", exp: 9e9 })).toString("base64url")}.${signature}`

    const tokens: Readonly<Record<string, string>> = {
      "no token": "",
      "not a token": "secret-garbage",
      "wrong audience": yield* issuer.issue({ audience: "https://other.test" }),
      "audience with a suffix": yield* issuer.issue({ audience: `${AUDIENCE}/` }),
      expired: yield* issuer.issue({ audience: AUDIENCE, lifetimeSeconds: -60 }),
      "alg none": unsigned,
      "alg none with a signature": `${unsigned}${signature}`,
      "a shared secret": hmac,
      "another issuer": yield* stranger.issue({ audience: AUDIENCE }),
      "another key": yield* impostor.issue({ audience: AUDIENCE }),
      "claims changed under the signature": swapped,
      "too long": `${good}${"x".repeat(9_000)}`
    }
    for (const [what, token] of Object.entries(tokens)) {
      const answer = yield* gateway.request("GET", "/runs/run-1", { token, headers: { "x-tenant-id": "acme" } })
      expect({ what, status: answer.status, code: answer.body["code"] }).toEqual({
        what,
        status: 401,
        code: "not-signed-in"
      })
    }
    // The good one is believed, and its tenant is the claim's whatever a header says.
    expect(yield* gateway.request("GET", "/runs/run-1", { headers: { "x-tenant-id": "victim" } })).toMatchObject({
      status: 404
    })
    const logs = yield* gateway.logs
    expect(logs).toContain("a token was refused")
    for (const token of [good, ...Object.values(tokens).filter((each) => each !== "")]) {
      expect(logs).not.toContain(token)
      for (const part of token.split(".").filter((each) => each.length > 20)) expect(logs).not.toContain(part)
    }
  })
)

it.scopedLive("refuses a signed token that several audiences share, or that names no tenant", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const issuer = yield* testIssuer()
    const identity = Identity.make({
      issuer: issuer.issuer,
      audience: AUDIENCE,
      jwksUrl: new URL(`${issuer.url}/jwks`)
    })
    expect(yield* identity.verify(yield* issuer.issue({ audience: AUDIENCE }))).toEqual({
      tenantId: "acme",
      subject: "ann"
    })
    const noTenant = yield* gateway.issuer.issue({ audience: AUDIENCE, tenant: "" })
    expect(yield* gateway.request("GET", "/runs/run-1", { token: noTenant })).toMatchObject({
      status: 403,
      body: { code: "tenant-missing" }
    })
    const shared = yield* issuer.issue({ audience: [AUDIENCE, "https://other.test"] })
    expect(yield* Effect.flip(identity.verify(shared))).toMatchObject({ code: "not-signed-in" })
  })
)

it.scopedLive("takes the tenant of a service account from its settings: Google's tokens name none", () =>
  Effect.gen(function* () {
    const issuer = yield* testIssuer()
    const identity = Identity.make({
      issuer: issuer.issuer,
      audience: AUDIENCE,
      jwksUrl: new URL(`${issuer.url}/jwks`),
      serviceTenants: new Map([["smoke@p.iam.gserviceaccount.com", "service"]])
    })
    const token = (email: string) => issuer.issue({ audience: AUDIENCE, tenant: "", email })
    expect(yield* identity.verify(yield* token("smoke@p.iam.gserviceaccount.com"))).toMatchObject({
      tenantId: "service"
    })
    expect(yield* Effect.flip(identity.verify(yield* token("other@p.iam.gserviceaccount.com")))).toMatchObject({
      code: "tenant-missing"
    })
  })
)

it.scopedLive("fetches the keys once, again for an unknown key after the cooldown, and never for a flood of them", () =>
  Effect.gen(function* () {
    const one = yield* testIssuer()
    const two = yield* testIssuer()
    let served = one
    let fetches = 0
    const server = createServer((request, response) => {
      fetches += 1
      served.handler(request, response)
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () => Effect.sync(() => server.close(() => {}).closeAllConnections())
    )
    const jwksUrl = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`)
    const config = { issuer: one.issuer, audience: AUDIENCE, jwksUrl }
    const cool = Identity.make({ ...config, keyCooldown: "1 hour" })
    const oldToken = yield* one.issue({ audience: AUDIENCE })
    const newToken = yield* two.issue({ audience: AUDIENCE })
    yield* Effect.repeatN(cool.verify(oldToken), 4)
    expect(fetches).toBe(1)
    yield* Effect.repeatN(Effect.flip(cool.verify(newToken)), 20)
    expect(fetches).toBe(1)
    // A rotation: the new key is fetched as soon as a token carries its id.
    const eager = Identity.make({ ...config, keyCooldown: 0 })
    yield* eager.verify(oldToken)
    served = two
    expect(yield* eager.verify(newToken)).toMatchObject({ tenantId: "acme" })
    expect(fetches).toBe(3)
  })
)

it.scopedLive("says 503, not 401, when the keys can not be had", () =>
  Effect.gen(function* () {
    const issuer = yield* testIssuer()
    const identity = Identity.make({
      issuer: issuer.issuer,
      audience: AUDIENCE,
      jwksUrl: new URL(`${issuer.url}/not-there`)
    })
    expect(yield* Effect.flip(identity.verify(yield* issuer.issue({ audience: AUDIENCE })))).toMatchObject({
      code: "identity-unavailable",
      retryAfter: 2
    })
    const nobody = Identity.make({ issuer: issuer.issuer, audience: AUDIENCE, jwksUrl: new URL("http://127.0.0.1:1/") })
    expect(yield* Effect.flip(nobody.verify(yield* issuer.issue({ audience: AUDIENCE })))).toMatchObject({
      code: "identity-unavailable"
    })
  })
)
