import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect } from "../support/gateway.ts"
import { testImage } from "../support/image.ts"
import { startPod } from "../support/pods.ts"
import { stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

interface Recorded {
  readonly eventId: number
  readonly step: string
  readonly sequence: number
  readonly event: { readonly _tag: string; readonly text?: string }
}

const eventsOf = (messages: ReadonlyArray<Record<string, unknown>>) =>
  messages.flatMap((each) => (each["type"] === "event" ? [each["event"] as Recorded] : []))
const has = (tag: string) => (messages: ReadonlyArray<Record<string, unknown>>) =>
  eventsOf(messages).some(({ event }) => event._tag === tag)

it.scopedLive(
  "streams a run of a real runner, resumes it at another gateway after a restart, approves one run and cancels another",
  () =>
    Effect.gen(function* () {
      const made = yield* stack
      const runner = yield* made.runner(0)
      const [one, two] = yield* Effect.all([made.gateway(0), made.gateway(1)], { concurrency: 2 })
      const { token } = made
      const call = (url: string, method: string, path: string, body?: unknown) =>
        Effect.tryPromise(async () => {
          const response = await fetch(`${url}${path}`, {
            method,
            headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
            ...(body === undefined ? {} : { body: JSON.stringify(body) })
          })
          return { status: response.status, body: (await response.json()) as Record<string, unknown> }
        })

      // The first call of a fresh gateway and a fresh runner.
      const before = performance.now()
      const started = yield* call(one.url, "POST", "/agents/s1/runs", {
        runId: "r1",
        message: "tell me approve tokens:60 slow:50"
      })
      const firstCall = performance.now() - before
      expect(started).toMatchObject({ status: 202, body: { runId: "r1", status: "accepted", runner: runner.name } })
      expect(firstCall).toBeLessThan(2_000)

      const first = yield* connect(`${one.url}/ws/s1`, { token })
      yield* first.until((messages) => eventsOf(messages).filter(({ event }) => event._tag === "Token").length >= 3)
      // The first gateway goes, and tells its clients to reconnect.
      yield* one.signal("SIGTERM")
      expect(yield* first.closed).toMatchObject({ code: 1012 })
      const seen = eventsOf(first.messages)
      const second = yield* connect(`${two.url}/ws/s1?lastEventId=${seen.at(-1)?.eventId}`, { token })
      const late = yield* connect(`${two.url}/ws/s1`, { token })
      yield* late.until(has("ApprovalRequested"))
      expect(yield* call(two.url, "GET", "/runs/r1")).toMatchObject({ body: { status: "waiting" } })
      yield* second.send({ type: "approve", ref: "yes", runId: "r1" })
      yield* second.until(has("Completed"))
      yield* late.until(has("Completed"))

      expect(yield* one.exit).toBe(0)
      const all = [...seen, ...eventsOf(second.messages)]
      const recorded = yield* call(two.url, "GET", "/runs/r1/events")
      expect(all).toEqual(recorded.body["events"])
      expect(eventsOf(late.messages)).toEqual(all)
      expect(new Set(all.map(({ step, sequence }) => `${step}/${sequence}`)).size).toBe(all.length)
      expect(all.map(({ eventId }) => eventId)).toEqual([...all.map(({ eventId }) => eventId)].sort((a, b) => a - b))
      expect(all.at(-1)?.event.text).toBe(all.map(({ event }) => (event._tag === "Token" ? event.text : "")).join(""))

      yield* call(two.url, "POST", "/agents/s2/runs", { runId: "r2", message: "wait tokens:200 slow:50" })
      const cancelled = yield* call(two.url, "POST", "/runs/r2/cancel")
      expect(cancelled).toMatchObject({ status: 202, body: { runId: "r2", status: "cancelled" } })
      expect(yield* call(two.url, "POST", "/runs/r2/approve")).toMatchObject({
        status: 409,
        body: { code: "run-finished" }
      })
      yield* until(
        "the end of the cancelled run",
        call(two.url, "GET", "/runs/r2/events"),
        ({ body }) => (body["events"] as ReadonlyArray<Recorded>).at(-1)?.event._tag === "Cancelled"
      )
    }),
  180_000
)

it.scopedLive(
  "refuses to start, with one message and exit code 12, on bad configuration and on a port that is taken",
  () =>
    Effect.gen(function* () {
      const image = yield* testImage({ entries: ["gateway"] })
      const start = (env: Readonly<Record<string, string>>) =>
        Effect.gen(function* () {
          const pod = yield* startPod({ image, program: "gateway", name: "agent-gateway-0", address: "127.0.0.1", env })
          return { code: yield* pod.exit, output: pod.output() }
        })
      const bad = yield* start({
        IDENTITY_JWKS_URL: "file:///keys",
        HTTP_PORT: "eighty",
        DATABASE_SECRET_DIR: "/not/there"
      })
      expect(bad.code).toBe(12)
      for (const what of [
        "IDENTITY_ISSUER is not set",
        "IDENTITY_AUDIENCE is not set",
        'IDENTITY_JWKS_URL is "file:///keys"; it must be an http(s) URL',
        'HTTP_PORT is "eighty"',
        "DATABASE_SECRET_DIR is /not/there, which does not exist"
      ]) {
        expect(bad.output).toContain(what)
      }
      expect(bad.output).not.toContain("    at ")

      const made = yield* stack
      yield* made.runner(0)
      yield* made.gateway(0)
      const again = yield* made.gatewayPod(0)
      expect(yield* again.exit).toBe(12)
      expect(again.output()).toMatch(/Port 8080 of [0-9.]+ is taken by another process. End it, or set HTTP_PORT/)
    }),
  120_000
)
