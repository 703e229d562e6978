/** Who may not: the same attempts at every way in. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { UnsecuredJWT } from "jose"
import { AUDIENCE, connect, testGateway, testIssuer } from "../../test/support/gateway.ts"

const routes = [
  ["POST", "/agents/s1/runs", { runId: "stolen", message: "hello" }],
  ["GET", "/runs/run-1", undefined],
  ["GET", "/runs/run-1/events", undefined],
  ["POST", "/runs/run-1/cancel", undefined],
  ["POST", "/runs/run-1/approve", undefined]
] as const

it.scopedLive("refuses every token that is not good at every route and at the socket, whatever headers say", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const { issuer } = gateway
    yield* gateway.request("POST", "/agents/s1/runs", { body: { runId: "run-1", message: "hello" } })
    const stranger = yield* testIssuer("https://elsewhere.test")
    const tokens = {
      none: "",
      "wrong audience": yield* issuer.issue({ audience: "https://other.test" }),
      expired: yield* issuer.issue({ audience: AUDIENCE, lifetimeSeconds: -60 }),
      "alg none": new UnsecuredJWT({ tenant: "acme" })
        .setIssuer(issuer.issuer)
        .setAudience(AUDIENCE)
        .setSubject("ann")
        .setExpirationTime("1h")
        .encode(),
      "another issuer": yield* stranger.issue({ audience: AUDIENCE })
    }
    const forged = { "x-tenant-id": "acme", "x-user-token": gateway.token, "x-forwarded-user": "ann" }
    for (const [what, token] of Object.entries(tokens)) {
      for (const [method, path, body] of routes) {
        const answer = yield* gateway.request(method, path, { token, body, headers: forged })
        expect({ what, path, status: answer.status, code: answer.body["code"] }).toEqual({
          what,
          path,
          status: 401,
          code: "not-signed-in"
        })
      }
      const handshake = yield* Effect.flip(connect(`${gateway.url}/ws/s1`, { token, headers: forged }))
      expect({ what, status: handshake.status }).toEqual({ what, status: 401 })
    }
    // Nothing of it was carried out.
    expect((yield* gateway.request("GET", "/runs/run-1")).body).toMatchObject({ status: "accepted" })
    expect((yield* gateway.request("GET", "/runs/stolen")).status).toBe(404)
  })
)

it.scopedLive(
  "gives another tenant nothing at the socket: no event, no cancel, no approval, and the same run id is free",
  () =>
    Effect.gen(function* () {
      const gateway = yield* testGateway()
      yield* gateway.request("POST", "/agents/s1/runs", { body: { runId: "run-1", message: "hello" } })
      const token = yield* gateway.issuer.issue({ audience: AUDIENCE, tenant: "other" })
      const socket = yield* connect(`${gateway.url}/ws/s1?lastEventId=0`, { token, headers: { "x-tenant-id": "acme" } })
      yield* socket.send({ type: "cancel", ref: "c", runId: "run-1" })
      yield* socket.send({ type: "approve", ref: "a", runId: "run-1" })
      yield* socket.until((messages) => messages.length === 2)
      expect(socket.messages).toMatchObject([
        { type: "error", ref: "c", problem: { code: "run-not-found" } },
        { type: "error", ref: "a", problem: { code: "run-not-found" } }
      ])
      yield* socket.send({ type: "ask", runId: "run-1", message: "mine" })
      yield* socket.until((messages) => messages.some(({ type }) => type === "done"))
      expect((yield* gateway.request("GET", "/runs/run-1")).body).toMatchObject({ status: "accepted" })
      const own = yield* gateway.request("GET", "/runs/run-1/events")
      expect(JSON.stringify(own.body)).not.toContain("mine")
    })
)

it.scopedLive("refuses with 429 and Retry-After before anything is spent, over HTTP and over the socket alike", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({
      admission: { user: { perSecond: 0.001, burst: 3 }, openRuns: 1 }
    })
    const start = (runId: string) => gateway.request("POST", "/agents/s1/runs", { body: { runId, message: "x" } })
    expect(yield* start("r1")).toMatchObject({ status: 202 })
    const full = yield* start("r2")
    expect(full).toMatchObject({ status: 429, body: { code: "too-many-open-runs", retryAfter: 5 } })
    expect(full.headers.get("retry-after")).toBe("5")
    const socket = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
    yield* socket.send({ type: "ask", ref: "1", runId: "r3", message: "x" })
    yield* socket.send({ type: "cancel", ref: "2", runId: "r1" })
    yield* socket.until((messages) => messages.filter(({ type }) => type === "error").length === 2)
    expect(socket.messages.filter(({ type }) => type === "error")).toMatchObject([
      { ref: "1", problem: { code: "too-many-open-runs" } },
      { ref: "2", problem: { code: "rate-limited", retryAfter: expect.any(Number) } }
    ])
    expect(yield* gateway.request("GET", "/runs/r1")).toMatchObject({ status: 429, body: { code: "rate-limited" } })
  })
)

it.scopedLive("limits an address before it looks at the token, and leaves probes alone", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({
      admission: { address: { perSecond: 0.001, burst: 2 } },
      proxyHops: 1
    })
    const from = (address: string) =>
      gateway.request("GET", "/runs/none", { token: "", headers: { "x-forwarded-for": `6.6.6.6, ${address}` } })
    expect((yield* from("10.0.0.1")).status).toBe(401)
    expect((yield* from("10.0.0.1")).status).toBe(401)
    expect(yield* from("10.0.0.1")).toMatchObject({ status: 429, body: { code: "rate-limited" } })
    expect((yield* from("10.0.0.2")).status).toBe(401)
    const headers = { "x-forwarded-for": "10.0.0.1" }
    expect((yield* gateway.request("GET", "/healthz", { headers })).status).toBe(200)
    const refused = yield* Effect.flip(connect(`${gateway.url}/ws/s1`, { token: gateway.token, headers }))
    expect(refused.status).toBe(429)
  })
)

it.scopedLive("lets pages of listed origins call, and no others", () =>
  Effect.gen(function* () {
    const origin = "https://app.example.com"
    const gateway = yield* testGateway({ origins: [origin] })
    const preflight = (from: string) =>
      gateway.request("OPTIONS", "/agents/s1/runs", {
        token: "",
        headers: { origin: from, "access-control-request-method": "POST" }
      })
    const good = yield* preflight(origin)
    expect(good.status).toBe(204)
    expect(good.headers.get("access-control-allow-origin")).toBe(origin)
    expect(good.headers.get("access-control-allow-headers")).toContain("authorization")
    const evil = "https://evil.example.com"
    expect((yield* preflight(evil)).headers.get("access-control-allow-origin")).toBeNull()
    // A refusal must be readable for the page too.
    const refused = yield* gateway.request("GET", "/runs/none", { headers: { origin } })
    expect(refused.status).toBe(404)
    expect(refused.headers.get("access-control-allow-origin")).toBe(origin)
    expect(
      (yield* gateway.request("GET", "/runs/none", { headers: { origin: evil } })).headers.get(
        "access-control-allow-origin"
      )
    ).toBeNull()
    const { token } = gateway
    const socket = yield* connect(`${gateway.url}/ws/s1`, { token, headers: { origin } })
    yield* socket.send({ type: "heartbeat" })
    yield* socket.until((messages) => messages.length === 1)
    const closed = yield* Effect.flip(connect(`${gateway.url}/ws/s1`, { token, headers: { origin: evil } }))
    expect(closed).toMatchObject({ status: 403 })
    // Where none is listed, no page may call.
    const closedGateway = yield* testGateway()
    const answer = yield* closedGateway.request("GET", "/runs/none", { headers: { origin } })
    expect(answer.headers.get("access-control-allow-origin")).toBeNull()
  })
)
