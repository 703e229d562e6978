/** Nonsense at every way in, made anew at each run: it is refused with a reason, and the gateway goes on for all others. */
import { connect as tcpConnect } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, type Scope } from "effect"
import { AUDIENCE, connect, type TestGateway, testGateway, USER_AUDIENCE } from "../../test/support/gateway.ts"
import { RPC_PATH, USER_TOKEN_HEADER } from "../domain/EdgeRpcs.ts"

const RUNS = 30

/** A failure prints the seed; `fc.assert` takes it. */
const holds = <A>(made: fc.Arbitrary<A>, property: (value: A) => Effect.Effect<void, unknown, Scope.Scope>) =>
  Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(made, (value) => Effect.runPromise(Effect.scoped(property(value)))),
      { numRuns: RUNS }
    )
  )

const segment = fc
  .oneof(fc.string({ minLength: 1, maxLength: 200, unit: "grapheme" }), fc.constantFrom("..%2f..", "%00", "%", "a b"))
  .map((text) => (text.startsWith("%") || text.startsWith("..%") ? text : encodeURIComponent(text.toWellFormed())))
  .filter((text) => text !== "." && text !== "..")

/** JSON that is nearly a start, JSON of any kind, and text that is no JSON. */
const body = fc.oneof(
  fc.record(
    { runId: fc.anything(), message: fc.anything(), model: fc.anything(), tenantId: fc.string() },
    { requiredKeys: [] }
  ),
  fc.json().map((text) => JSON.parse(text) as unknown),
  fc.string()
)

const text = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined"))

const isReasoned = (answer: { status: number; headers: Headers; body: Record<string, unknown> }) => {
  expect(answer.status).toBeLessThan(500)
  if (answer.status < 400) return
  expect(answer.headers.get("content-type")).toContain("application/problem+json")
  expect(answer.body).toMatchObject({ status: answer.status, code: expect.any(String) })
  expect(String(answer.body["detail"]).length).toBeGreaterThan(5)
}

const goesOn = (gateway: TestGateway) =>
  Effect.gen(function* () {
    expect(yield* gateway.request("GET", "/healthz", { token: "" })).toMatchObject({ status: 200 })
    expect(yield* gateway.logs).not.toContain("ERROR")
  })

const routes = [
  ["POST", (id: string) => `/agents/${id}/runs`],
  ["GET", (id: string) => `/runs/${id}`],
  ["GET", (id: string) => `/runs/${id}/events`],
  ["POST", (id: string) => `/runs/${id}/cancel`],
  ["POST", (id: string) => `/runs/${id}/approve`],
  ["DELETE", (id: string) => `/runs/${id}`],
  ["GET", (id: string) => `/${id}`]
] as const

it.scopedLive("answers any path, query and body with a 4xx that says why, or carries out what it can", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    for (const [method, path] of routes) {
      yield* holds(fc.record({ id: segment, query: fc.string({ maxLength: 30 }), body }), (made) =>
        Effect.gen(function* () {
          const query = `after=${encodeURIComponent(made.query.toWellFormed())}&limit=${made.query.length - 5}`
          isReasoned(
            yield* gateway.request(method, `${path(made.id)}?${query}`, {
              ...(method === "POST" ? { body: text(made.body) } : {})
            })
          )
        })
      )
    }
    yield* goesOn(gateway)
  })
)

it.scopedLive(
  "answers any text or bytes on a socket with a reason, and keeps the socket until there are too many",
  () =>
    Effect.gen(function* () {
      const gateway = yield* testGateway()
      const message = fc.oneof(
        body.map(text),
        fc
          .record(
            {
              type: fc.constantFrom("ask", "cancel", "approve", "heartbeat", "event", "done"),
              ref: fc.anything(),
              runId: fc.anything(),
              message: fc.anything()
            },
            { requiredKeys: ["type"] }
          )
          .map(text)
      )
      yield* holds(fc.array(message, { minLength: 1, maxLength: 9 }), (messages) =>
        Effect.gen(function* () {
          const socket = yield* connect(`${gateway.url}/ws/fuzz?lastEventId=1000000`, { token: gateway.token })
          for (const each of messages) yield* socket.send(each)
          yield* socket.until((all) => all.filter(({ type }) => type !== "event").length === messages.length)
          for (const { type, problem } of socket.messages.filter((each) => each["type"] === "error")) {
            expect({ type, problem }).toMatchObject({
              problem: { code: expect.any(String), detail: expect.any(String) }
            })
            expect((problem as { status: number }).status).toBeLessThan(500)
          }
          yield* socket.send({ type: "heartbeat", ref: "still here" })
          yield* socket.until((all) => all.some(({ ref }) => ref === "still here"))
        })
      )
      const binary = yield* connect(`${gateway.url}/ws/fuzz`, { token: gateway.token })
      yield* Effect.sync(() => binary.raw.send(Buffer.from([0, 1, 2, 255])))
      yield* binary.until((all) => all.some(({ type }) => type === "error"))
      yield* goesOn(gateway)
    })
)

it.scopedLive("ends a connection that speaks neither HTTP nor WebSocket, and only that one", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const { hostname, port } = new URL(gateway.url)
    const upgrade = `GET /ws/s1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer ${gateway.token}\r\n\r\n`
    // A frame with reserved bits and opcodes: what is no WebSocket must not be mistaken for one.
    const bytes = fc.uint8Array({ minLength: 2, maxLength: 300 }).map((all) => {
      const frame = Buffer.from(all)
      frame[0] = 0x70 | (frame[0] ?? 0)
      return frame
    })
    yield* holds(fc.record({ bytes, upgraded: fc.boolean() }), (made) =>
      Effect.async<void>((resume) => {
        const socket = tcpConnect(Number(port), hostname, () => {
          if (!made.upgraded) return void socket.write(Buffer.concat([made.bytes, Buffer.from("\r\n\r\n")]))
          socket.write(upgrade)
          socket.once("data", () => socket.write(made.bytes))
        })
        socket.on("error", () => {})
        socket.resume()
        socket.once("close", () => resume(Effect.void))
      }).pipe(Effect.timeoutFail({ duration: "20 seconds", onTimeout: () => new Error("it was not ended") }))
    )
    yield* goesOn(gateway)
  })
)

it.scopedLive("answers any body of a typed call, and the next call is carried out", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({ edgeCallers: ["ann@acme.test"] })
    const user = yield* gateway.issuer.issue({ audience: USER_AUDIENCE })
    const headers = { "content-type": "application/json", [USER_TOKEN_HEADER]: user }
    const call = (payload: string) =>
      Effect.promise(async () => {
        const response = await fetch(`${gateway.url}${RPC_PATH}`, {
          method: "POST",
          headers: { ...headers, authorization: `Bearer ${gateway.token}` },
          body: payload
        })
        return { status: response.status, text: await response.text() }
      })
    const request = (tag: string, payload: unknown) => ({
      _tag: "Request",
      id: "1",
      tag,
      payload,
      headers: [],
      traceId: "0".repeat(32),
      spanId: "0".repeat(16),
      sampled: false
    })
    const nearly = fc
      .record({ tag: fc.constantFrom("Start", "Status", "Events", "Cancel", "Drop"), payload: fc.anything() })
      .map(({ tag, payload }) => text(request(tag, payload)))
    yield* holds(fc.oneof(nearly, body.map(text)), (payload) =>
      Effect.gen(function* () {
        const answer = yield* call(payload)
        expect({ payload, status: answer.status }).toMatchObject({ status: expect.any(Number) })
        expect(answer.text).not.toMatch(/node_modules|\.ts:\d+/)
        expect(answer.status).toBeLessThan(500)
      })
    )
    const good = yield* call(text(request("Status", { runId: "none" })))
    expect(good.text).toContain("run-not-found")
    expect(yield* gateway.request("GET", "/healthz", { token: "" })).toMatchObject({ status: 200 })
  })
)

it.scopedLive("gives a typed call no more than its two tokens say, whatever headers it has, and logs neither", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({ edgeCallers: ["ann@acme.test"] })
    const { issuer } = gateway
    yield* gateway.request("POST", "/agents/s1/runs", { body: { runId: "run-1", message: "hello" } })
    const user = yield* issuer.issue({ audience: USER_AUDIENCE })
    const stranger = yield* issuer.issue({ audience: USER_AUDIENCE, tenant: "other" })
    const expired = yield* issuer.issue({ audience: USER_AUDIENCE, lifetimeSeconds: -60 })
    const expiredService = yield* issuer.issue({ audience: AUDIENCE, lifetimeSeconds: -60 })
    const call = (tag: string, service: string, onBehalf: string) =>
      Effect.promise(async () => {
        const response = await fetch(`${gateway.url}${RPC_PATH}`, {
          method: "POST",
          headers: {
            "content-type": "application/json",
            authorization: `Bearer ${service}`,
            [USER_TOKEN_HEADER]: onBehalf,
            "x-tenant-id": "acme"
          },
          body: JSON.stringify({
            _tag: "Request",
            id: "1",
            tag,
            payload: { runId: "run-1", ...(tag === "Events" ? { after: 0, limit: 10 } : {}) },
            headers: [],
            traceId: "0".repeat(32),
            spanId: "0".repeat(16),
            sampled: false
          })
        })
        return await response.text()
      })
    for (const tag of ["Status", "Events", "Cancel", "Approve"]) {
      expect(yield* call(tag, gateway.token, stranger)).toContain("run-not-found")
      expect(yield* call(tag, gateway.token, expired)).toContain("not-signed-in")
      expect(yield* call(tag, expiredService, user)).toContain("not-signed-in")
      // A user's token is no service's, and a service's is no user's.
      expect(yield* call(tag, user, user)).toContain("not-signed-in")
      expect(yield* call(tag, gateway.token, gateway.token)).toContain("not-signed-in")
    }
    expect(yield* call("Status", gateway.token, user)).toContain('"accepted"')
    expect((yield* gateway.request("GET", "/runs/run-1")).body).toMatchObject({ status: "accepted" })
    const logs = yield* gateway.logs
    expect(logs).toContain("a token was refused")
    for (const secret of [gateway.token, user, stranger, expired, expiredService]) {
      for (const part of secret.split(".").slice(1)) expect(logs).not.toContain(part)
    }
  })
)
