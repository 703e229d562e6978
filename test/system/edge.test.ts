import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { collector } from "../support/collector.ts"
import { testImage } from "../support/image.ts"
import { startPod } from "../support/pods.ts"
import { AUDIENCE, stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

const USER_AUDIENCE = "https://edge.test"
const EDGE = "smoke@agents.test"

it.scopedLive(
  "carries a user's run from the edge over typed calls to a runner and back, in one trace, and nobody else's",
  () =>
    Effect.gen(function* () {
      const traces = yield* collector
      const [made, image] = yield* Effect.all([stack, testImage({ entries: ["edge"] })], { concurrency: 2 })
      const { issuer } = made
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: traces.url }
      const [, gateway] = yield* Effect.all(
        [
          made.runner(0, env),
          made.gateway(0, { ...env, EDGE_CALLERS: EDGE, USER_AUDIENCE, ADDRESS_REQUESTS_PER_SECOND: "1000" })
        ],
        { concurrency: 2 }
      )
      const edge = yield* startPod({
        image,
        program: "edge",
        name: "agent-edge",
        address: made.subnet.address(120),
        env: {
          ...env,
          USER_ISSUER: issuer.issuer,
          USER_AUDIENCE,
          USER_JWKS_URL: `${issuer.issuer}/jwks`,
          IDENTITY_AUDIENCE: AUDIENCE,
          GATEWAY_URL: gateway.url,
          GCE_METADATA_HOST: new URL(issuer.issuer).host
        }
      })
      yield* edge.ready

      const user = yield* issuer.issue({ audience: USER_AUDIENCE, tenant: "acme", subject: "ann" })
      const stranger = yield* issuer.issue({ audience: USER_AUDIENCE, tenant: "other", subject: "bob" })
      const call = (
        method: string,
        url: string,
        options: { readonly token?: string; readonly body?: unknown; readonly headers?: Record<string, string> } = {}
      ) =>
        Effect.tryPromise(async () => {
          const response = await fetch(url.startsWith("http") ? url : `http://${edge.address}:8080${url}`, {
            method,
            headers: {
              authorization: `Bearer ${options.token ?? user}`,
              "content-type": "application/json",
              ...options.headers
            },
            ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) })
          })
          const text = await response.text()
          return { status: response.status, body: (text === "" ? {} : JSON.parse(text)) as Record<string, unknown> }
        })

      const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
      const body = { runId: "r1", message: "approve tokens:3" }
      const started = yield* call("POST", "/agents/s1/runs", {
        body,
        headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01`, "x-tenant-id": "other" }
      })
      expect(started).toMatchObject({ status: 202, body: { runId: "r1", status: "accepted" } })
      yield* until("the question", call("GET", "/runs/r1"), ({ body }) => body["status"] === "waiting")

      // Another tenant has no such run, whatever its headers say; and the gateway believes nobody but an edge.
      for (const [method, path] of [
        ["GET", "/runs/r1"],
        ["GET", "/runs/r1/events"],
        ["POST", "/runs/r1/cancel"],
        ["POST", "/runs/r1/approve"]
      ] as const) {
        const answer = yield* call(method, path, { token: stranger, headers: { "x-user-token": user } })
        expect(answer).toMatchObject({ status: 404, body: { code: "run-not-found" } })
      }
      const rpc = (token: string, userToken: string) =>
        call("POST", `${gateway.url}/rpc`, {
          token,
          headers: { "x-user-token": userToken },
          body: { _tag: "Request", id: "1", tag: "Status", payload: { runId: "r1" }, headers: [] }
        })
      const edgeToken = yield* issuer.issue({ audience: AUDIENCE })
      const refused = [
        yield* rpc(user, user),
        yield* rpc(yield* issuer.issue({ audience: AUDIENCE, email: "someone@agents.test" }), user),
        yield* rpc(yield* issuer.issue({ audience: AUDIENCE, lifetimeSeconds: -60 }), user),
        yield* rpc(edgeToken, edgeToken),
        yield* rpc(edgeToken, "")
      ]
      for (const answer of refused) expect(JSON.stringify(answer.body)).toContain('"not-signed-in"')
      expect(JSON.stringify((yield* rpc(edgeToken, user)).body)).toContain('"waiting"')
      expect((yield* call("GET", "/runs/r1", { token: edgeToken })).status).toBe(401)

      // Problems come through as the gateway made them.
      expect(yield* call("POST", "/agents/s2/runs", { body })).toMatchObject({
        status: 409,
        body: { code: "run-in-other-session" }
      })
      expect(yield* call("POST", "/agents/s1/runs", { body: { runId: "a b", message: "x" } })).toMatchObject({
        status: 400
      })
      expect(yield* call("POST", "/runs/r1/approve")).toMatchObject({ status: 202 })
      yield* until("the end", call("GET", "/runs/r1"), ({ body }) => body["status"] === "completed")
      const events = (yield* call("GET", "/runs/r1/events?after=1&limit=100")).body["events"]
      expect((events as ReadonlyArray<{ event: { _tag: string } }>).at(-1)?.event._tag).toBe("Completed")

      yield* until(
        "one trace from the edge to the runner",
        Effect.sync(() => new Set(traces.spans().flatMap((span) => (span.traceId === traceId ? [span.service] : [])))),
        (services) => ["agent-edge", "agent-gateway", "agent-runner"].every((service) => services.has(service)),
        "20 seconds"
      )

      // Without a gateway: a clear answer, in a bounded time.
      yield* gateway.signal("SIGKILL")
      expect(yield* call("GET", "/runs/r1")).toMatchObject({ status: 503, body: { code: "agents-unavailable" } })
      yield* edge.signal("SIGTERM")
      expect(yield* edge.exit).toBe(0)
      for (const secret of [user, edgeToken]) {
        expect(edge.output() + gateway.output()).not.toContain(secret.split(".")[2])
      }
    }),
  120_000
)
