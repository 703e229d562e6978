import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { testGateway } from "../../test/support/gateway.ts"
import { until } from "../../test/support/wait.ts"
import { MAX_BODY_BYTES } from "../domain/Api.ts"

const start = { runId: "run-1", message: "hello" }

it.scopedLive("starts a run once, however often the same run id comes", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const first = yield* gateway.request("POST", "/agents/s1/runs", { body: start })
    const again = yield* gateway.request("POST", "/agents/s1/runs", { body: start })
    expect(first.status).toBe(202)
    expect(first.body).toMatchObject({ runId: "run-1", sessionId: "s1", status: "accepted", runner: null })
    expect(again).toMatchObject({ status: 202, body: first.body })
    const events = yield* gateway.request("GET", "/runs/run-1/events?after=0")
    expect(events.body["events"]).toHaveLength(1)
    expect(events.body["next"]).toBe(1)
    expect((yield* gateway.request("GET", "/runs/run-1/events?after=1")).body).toEqual({ events: [], next: 1 })
  })
)

it.scopedLive("tells a run id taken by another session or another message from a repeated start", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    yield* gateway.request("POST", "/agents/s1/runs", { body: start })
    expect(yield* gateway.request("POST", "/agents/s2/runs", { body: start })).toMatchObject({
      status: 409,
      body: { code: "run-in-other-session" }
    })
    expect(yield* gateway.request("POST", "/agents/s1/runs", { body: { ...start, message: "other" } })).toMatchObject({
      status: 409,
      body: { code: "run-differs" }
    })
  })
)

it.scopedLive("cancels, and approves only what has not finished", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    yield* gateway.request("POST", "/agents/s1/runs", { body: start })
    expect(yield* gateway.request("POST", "/runs/run-1/approve")).toMatchObject({ status: 202 })
    expect(yield* gateway.request("POST", "/runs/run-1/cancel")).toMatchObject({
      status: 202,
      body: { status: "cancelled" }
    })
    expect(yield* gateway.request("POST", "/runs/run-1/cancel")).toMatchObject({ status: 202 })
    expect(yield* gateway.request("POST", "/runs/run-1/approve")).toMatchObject({
      status: 409,
      body: { code: "run-finished" }
    })
  })
)

it.scopedLive("answers with 404 for another tenant's run, exactly as for one that does not exist", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    yield* gateway.request("POST", "/agents/s1/runs", { body: start })
    const stranger = yield* gateway.issuer.issue({ audience: "https://gateway.test", tenant: "other" })
    for (const [method, path] of [
      ["GET", "/runs/run-1"],
      ["GET", "/runs/run-1/events"],
      ["POST", "/runs/run-1/cancel"],
      ["POST", "/runs/run-1/approve"]
    ] as const) {
      const answer = yield* gateway.request(method, path, { token: stranger, headers: { "x-tenant-id": "acme" } })
      expect(answer).toMatchObject({ status: 404, body: { code: "run-not-found", detail: "You have no run run-1." } })
      expect(answer.headers.get("content-type")).toContain("application/problem+json")
    }
    expect((yield* gateway.request("GET", "/runs/run-1")).body).toMatchObject({ status: "accepted" })
  })
)

it.scopedLive("refuses what it does not take with a 4xx that says why", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const post = (body: unknown, headers = {}) => gateway.request("POST", "/agents/s1/runs", { body, headers })
    const table: ReadonlyArray<readonly [Effect.Effect.Success<ReturnType<typeof post>>, number, string, RegExp]> = [
      [yield* post("{ not json"), 400, "malformed-request", /not JSON/],
      [yield* post({ message: "no run id" }), 400, "malformed-request", /runId/],
      [yield* post({ runId: "a/b", message: "x" }), 400, "malformed-request", /RunId: letters, digits/],
      [yield* post({ runId: "r", message: "" }), 400, "malformed-request", /message/],
      [
        yield* post("a=b", { "content-type": "application/x-www-form-urlencoded" }),
        415,
        "media-type-unsupported",
        /json/
      ],
      [yield* post("x", { "content-type": "multipart/form-data; boundary=x" }), 415, "media-type-unsupported", /json/],
      [yield* post({ runId: "r", message: "x".repeat(MAX_BODY_BYTES) }), 413, "body-too-large", /65536/],
      [yield* gateway.request("GET", "/runs/r/events?after=-1"), 400, "malformed-request", /after/],
      [yield* gateway.request("GET", "/runs/r/events?after=x"), 400, "malformed-request", /after/],
      [yield* gateway.request("GET", "/runs/r%2Fx"), 400, "malformed-request", /RunId/],
      [yield* gateway.request("GET", "/nothing"), 404, "route-not-found", /openapi/]
    ]
    for (const [answer, status, code, detail] of table) {
      expect(answer).toMatchObject({ status, body: { status, code, type: `/problems/${code}` } })
      expect(answer.body["detail"]).toMatch(detail)
      expect(answer.headers.get("content-type")).toContain("application/problem+json")
    }
  })
)

it.scopedLive("refuses a body that does not say how long it is, and headers that are too large", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    const chunk = new TextEncoder().encode("x".repeat(16_384))
    const chunked = yield* Effect.promise(() =>
      fetch(`${gateway.url}/agents/s1/runs`, {
        method: "POST",
        headers: { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" },
        duplex: "half",
        body: new ReadableStream({
          start: (controller) => {
            for (let i = 0; i < 8; i++) controller.enqueue(chunk)
            controller.close()
          }
        })
      } as RequestInit)
    )
    expect(chunked.status).toBe(411)
    expect(yield* Effect.promise(() => chunked.json())).toMatchObject({ code: "length-required" })
    expect(yield* gateway.request("GET", "/healthz", { headers: { "x-large": "x".repeat(20_000) } })).toMatchObject({
      status: 431,
      body: { code: "malformed-request" }
    })
  })
)

it.scopedLive("carries a start to its end when the client hangs up in its middle", () =>
  Effect.gen(function* () {
    const [asked, held] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
    const gateway = yield* testGateway({ askDelay: Effect.zipRight(Deferred.succeed(asked, undefined), held) })
    const client = yield* Effect.fork(
      Effect.tryPromise((signal) =>
        fetch(`${gateway.url}/agents/s1/runs`, {
          method: "POST",
          headers: { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" },
          body: JSON.stringify(start),
          signal
        })
      )
    )
    yield* asked
    yield* Fiber.interrupt(client)
    // What is answered now was read after the hang-up: the gateway has seen it.
    yield* Effect.repeatN(gateway.request("GET", "/healthz"), 4)
    yield* Deferred.succeed(held, undefined)
    yield* until("the run", gateway.request("GET", "/runs/run-1"), ({ status }) => status === 200)
  })
)

it.scopedLive("says 503 with Retry-After when no runner or no database answers", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway()
    yield* gateway.setOutage("agents")
    const noAgents = yield* gateway.request("POST", "/agents/s1/runs", { body: start })
    expect(noAgents).toMatchObject({ status: 503, body: { code: "agents-unavailable" } })
    expect(noAgents.headers.get("retry-after")).toBe("2")
    yield* gateway.setOutage("records")
    const noRecords = yield* gateway.request("GET", "/runs/run-1")
    expect(noRecords).toMatchObject({ status: 503, body: { code: "database-unavailable" } })
    expect(noRecords.headers.get("retry-after")).toBe("2")
    expect(yield* gateway.request("GET", "/healthz", { token: "" })).toMatchObject({ status: 200 })
    expect(yield* gateway.request("GET", "/readyz", { token: "" })).toMatchObject({
      status: 503,
      body: { status: "not ready" }
    })
    yield* gateway.setOutage(undefined)
    expect(yield* gateway.request("GET", "/readyz", { token: "" })).toMatchObject({
      status: 200,
      body: { status: "ready" }
    })
  })
)

it.scopedLive(
  "serves the OpenAPI document of its routes, problems included, and the AsyncAPI document of its sockets",
  () =>
    Effect.gen(function* () {
      const gateway = yield* testGateway()
      const { status, body } = yield* gateway.request("GET", "/openapi.json", { token: "" })
      expect(status).toBe(200)
      const paths = body["paths"] as Record<string, Record<string, { responses: Record<string, object> }>>
      expect(Object.keys(paths).sort()).toEqual([
        "/agents/{sessionId}/runs",
        "/healthz",
        "/readyz",
        "/runs/{runId}",
        "/runs/{runId}/approve",
        "/runs/{runId}/cancel",
        "/runs/{runId}/events"
      ])
      const responses = paths["/agents/{sessionId}/runs"]?.["post"]?.responses ?? {}
      expect(Object.keys(responses).sort()).toEqual([
        "202",
        "400",
        "401",
        "403",
        "409",
        "411",
        "413",
        "415",
        "429",
        "500",
        "503"
      ])
      expect(JSON.stringify(responses["409"])).toContain("application/problem+json")
      const sockets = yield* gateway.request("GET", "/asyncapi.json", { token: "" })
      expect(sockets).toMatchObject({ status: 200, body: { asyncapi: "3.0.0" } })
    })
)
