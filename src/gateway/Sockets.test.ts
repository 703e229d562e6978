import { connect as tcpConnect } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect, Exit, Schedule, Scope } from "effect"
import { AUDIENCE, connect, eventually, testGateway } from "../../test/support/gateway.ts"
import { defaultLimits } from "./SessionSocket.ts"

type Message = Record<string, unknown>
const token = (text: string) => ({ _tag: "Token", text }) as const
const eventIds = (messages: ReadonlyArray<Message>) =>
  messages.flatMap((each) => (each["type"] === "event" ? [(each["event"] as { eventId: number }).eventId] : []))
const of = (type: string) => (messages: ReadonlyArray<Message>) => messages.filter((each) => each["type"] === type)
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

it.scopedLive("resumes after a cut from the last event id, with nothing lost or doubled", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const open = (after: number) => connect(`${gateway.url}/ws/s1?lastEventId=${after}`, { token: gateway.token })
    const first = yield* open(0)
    yield* first.send({ type: "ask", ref: "a", runId: "r1", message: "hello" })
    yield* first.until((messages) => of("done")(messages).length === 1 && eventIds(messages).length === 1)
    expect(of("done")(first.messages)[0]).toMatchObject({ ref: "a", run: { runId: "r1", status: "accepted" } })

    yield* Effect.forEach(range(2, 50), (i) => gateway.record("acme", "s1", "r1", token(`t${i}`)))
    yield* first.until((messages) => eventIds(messages).length >= 20)
    yield* first.cut
    yield* Effect.forEach(range(51, 80), (i) => gateway.record("acme", "s1", "r1", token(`t${i}`)))
    const seen = eventIds(first.messages)
    const second = yield* open(seen.at(-1) ?? 0)
    yield* Effect.forEach(range(81, 100), (i) => gateway.record("acme", "s1", "r1", token(`t${i}`)))
    yield* second.until((messages) => eventIds(messages).at(-1) === 100)
    expect([...seen, ...eventIds(second.messages)]).toEqual(range(1, 100))
  })
)

it.scopedLive("shows every socket of a session the same, and other sessions and tenants nothing", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const at = (session: string, token: string) => connect(`${gateway.url}/ws/${session}`, { token })
    const [one, two, other] = [
      yield* at("s1", gateway.token),
      yield* at("s1", gateway.token),
      yield* at("s2", gateway.token)
    ]
    const stranger = yield* at("s1", yield* gateway.issuer.issue({ audience: AUDIENCE, tenant: "other" }))
    yield* one.send({ type: "ask", runId: "r1", message: "hello" })
    yield* Effect.forEach(range(2, 30), (i) => gateway.record("acme", "s1", "r1", token(`t${i}`)))
    for (const socket of [one, two]) {
      yield* socket.until((messages) => eventIds(messages).length === 30)
      expect(eventIds(socket.messages)).toEqual(range(1, 30))
    }
    for (const socket of [other, stranger]) {
      // What comes after a heartbeat's answer would have come before it: the answer is the proof that nothing did.
      yield* socket.send({ type: "heartbeat" })
      yield* socket.until((messages) => messages.length > 0)
      expect(socket.messages).toEqual([{ type: "heartbeat" }])
      yield* socket.send({ type: "cancel", runId: "r1" })
      yield* socket.until((messages) => messages.length > 1)
    }
    expect(of("done")(other.messages)).toHaveLength(1)
    expect(stranger.messages[1]).toMatchObject({ type: "error", problem: { code: "run-not-found" } })
  })
)

it.scopedLive("takes ask, approve, cancel and heartbeat, and answers a bad message with a reason, staying open", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const socket = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
    const answer = (message: unknown) =>
      Effect.gen(function* () {
        const answers = () => socket.messages.filter((each) => each["type"] !== "event")
        const before = answers().length
        yield* socket.send(message)
        yield* socket.until(() => answers().length > before)
        return answers().at(-1)
      })
    expect(yield* answer({ type: "heartbeat", ref: "1" })).toEqual({ type: "heartbeat", ref: "1" })
    expect(yield* answer({ type: "ask", runId: "r1", message: "x" })).toMatchObject({ type: "done" })
    expect(yield* answer({ type: "approve", runId: "r1" })).toMatchObject({ type: "done" })
    expect(yield* answer({ type: "cancel", runId: "r1" })).toMatchObject({ type: "done", run: { status: "cancelled" } })
    expect(yield* answer({ type: "approve", ref: "9", runId: "r1" })).toMatchObject({
      type: "error",
      ref: "9",
      problem: { code: "run-finished", status: 409 }
    })
    for (const bad of ["{", '"ask"', { type: "shout" }, { type: "ask", runId: "a b", message: "x" }]) {
      expect(yield* answer(bad)).toMatchObject({ type: "error", problem: { code: "malformed-request" } })
    }
    yield* gateway.setOutage("agents")
    expect(yield* answer({ type: "ask", runId: "r2", message: "x" })).toMatchObject({
      type: "error",
      problem: { code: "agents-unavailable" }
    })
  })
)

it.scopedLive("closes a socket that sends nothing but nonsense, and one whose frame is too large", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const noisy = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
    yield* Effect.forEach(range(1, 10), () => noisy.send("nonsense"))
    expect(yield* noisy.closed).toEqual({ code: 4400, reason: "too many malformed messages" })
    const large = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
    yield* large.send("x".repeat(100_000))
    expect(yield* large.closed).toMatchObject({ code: 1009 })
  })
)

it.scopedLive("takes the token from the header or from the protocols, and refuses the handshake otherwise", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const browser = yield* connect(`${gateway.url}/ws/s1`, { protocols: ["bearer", gateway.token] })
    expect(browser.raw.protocol).toBe("bearer")
    yield* browser.send({ type: "heartbeat" })
    yield* browser.until((messages) => messages.length === 1)

    const refused = (path: string, options: Parameters<typeof connect>[1]) =>
      Effect.map(Effect.flip(connect(`${gateway.url}${path}`, options)), ({ status, body }) => ({
        status,
        code: (JSON.parse(body) as Message)["code"]
      }))
    const { token } = gateway
    const expired = yield* gateway.issuer.issue({ audience: AUDIENCE, lifetimeSeconds: -60 })
    expect(yield* refused("/ws/s1", {})).toEqual({ status: 401, code: "not-signed-in" })
    expect(yield* refused("/ws/s1", { token: expired })).toEqual({ status: 401, code: "not-signed-in" })
    expect(yield* refused("/ws/s1", { protocols: ["bearer"] })).toEqual({ status: 401, code: "not-signed-in" })
    expect(yield* refused("/ws/a%20b", { token })).toEqual({ status: 400, code: "malformed-request" })
    expect(yield* refused("/ws/s1?lastEventId=x", { token })).toEqual({ status: 400, code: "malformed-request" })
    expect(yield* refused("/ws/s1?lastEventId=-1", { token })).toEqual({ status: 400, code: "malformed-request" })
    expect(yield* refused("/other", { token })).toEqual({ status: 404, code: "route-not-found" })
  })
)

it.scopedLive("waits out a database outage on an open socket, and sends the client away when it lasts", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({ socketLimits: { ...defaultLimits, outageLimit: "1 seconds" } })
    const socket = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
    yield* socket.send({ type: "ask", runId: "r1", message: "x" })
    yield* socket.until((messages) => eventIds(messages).length === 1)
    yield* gateway.setOutage("records")
    yield* Effect.forEach(range(2, 10), (i) => gateway.record("acme", "s1", "r1", token(`t${i}`)))
    yield* gateway.setOutage(undefined)
    yield* socket.until((messages) => eventIds(messages).length === 10)
    expect(eventIds(socket.messages)).toEqual(range(1, 10))
    yield* gateway.setOutage("records")
    expect(yield* socket.closed).toMatchObject({ code: 1013 })
  })
)

it.scopedLive("closes a client that is not heard, and keeps one that only answers pings", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({
      socketLimits: { ...defaultLimits, pingInterval: "100 millis", heartbeatTimeout: "2 seconds" }
    })
    const alive = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
    const silent = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token, autoPong: false })
    expect(yield* silent.closed).toEqual({ code: 4408, reason: "nothing heard from the client" })
    yield* alive.send({ type: "heartbeat" })
    yield* alive.until((messages) => messages.length === 1)
  })
)

it.scopedLive("closes a reader that does not read, with a reason, holding no more than the bound", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({
      socketLimits: { ...defaultLimits, bufferedBytes: 32_768, slowReaderTimeout: "300 millis" }
    })
    const url = new URL(gateway.url)
    const slow = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token })
    yield* slow.send({ type: "ask", runId: "r1", message: "x" })
    yield* slow.until((messages) => eventIds(messages).length === 1)
    slow.raw.pause()
    const large = "x".repeat(200_000)
    yield* Effect.forEach(range(1, 60), () => gateway.record("acme", "s1", "r1", token(large)))
    yield* gateway.logs.pipe(
      Effect.repeat({ until: (logs) => logs.includes("4409"), schedule: Schedule.spaced("20 millis") }),
      Effect.timeout("20 seconds")
    )
    slow.raw.resume()
    expect(yield* slow.closed).toEqual({
      code: 4409,
      reason: "events are not read fast enough: reconnect with lastEventId"
    })
    // What it got is a clean beginning, from which it can resume.
    const seen = eventIds(slow.messages)
    expect(seen).toEqual(range(1, seen.length))
    expect(seen.length).toBeLessThan(61)
    // A client that sends a handshake and hangs up at once disturbs nobody.
    yield* Effect.async<void>((resume) => {
      const raw = tcpConnect(Number(url.port), url.hostname, () => {
        raw.write(
          `GET /ws/s1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer ${gateway.token}\r\n\r\n`
        )
        raw.destroy()
        resume(Effect.void)
      })
    })
    expect(yield* gateway.request("GET", "/healthz")).toMatchObject({ status: 200 })
  })
)

it("drains: not ready, connections told to close, requests in flight finished, sockets closed with 1012", () =>
  Effect.gen(function* () {
    const outer = yield* Scope.make()
    let release: () => void = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let asked = false
    const gateway = yield* testGateway({
      askDelay: Effect.suspend(() => {
        asked = true
        return Effect.promise(() => held)
      })
    }).pipe(Scope.extend(outer))
    const clients = yield* Scope.make()
    const socket = yield* connect(`${gateway.url}/ws/s1`, { token: gateway.token }).pipe(Scope.extend(clients))
    const inFlight = yield* Effect.fork(
      gateway.request("POST", "/agents/s1/runs", { body: { runId: "r1", message: "x" } })
    )
    yield* eventually("the request is being handled", () => asked)
    const stopped = yield* Effect.fork(Scope.close(outer, Exit.void))
    yield* gateway.lifecycle.stopping
    const ready = yield* gateway.request("GET", "/readyz")
    expect(ready).toMatchObject({ status: 503, body: { status: "not ready" } })
    expect(ready.headers.get("connection")).toBe("close")
    expect(yield* socket.closed).toEqual({ code: 1012, reason: "this gateway restarts: reconnect" })
    release()
    expect((yield* inFlight).headers.get("connection")).toBe("close")
    expect(yield* inFlight).toMatchObject({ status: 202, body: { runId: "r1" } })
    yield* stopped
    const late = yield* Effect.promise(() =>
      fetch(`${gateway.url}/healthz`).then(
        () => "answered",
        () => "refused"
      )
    )
    expect(late).toBe("refused")
    yield* Scope.close(clients, Exit.void)
  }).pipe(Effect.runPromise))
