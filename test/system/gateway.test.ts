import { expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { MAX_EVENTS_PAGE } from "../../src/domain/Api.ts"
import { RecordedEvent } from "../../src/domain/Event.ts"
import { RunId, SessionId } from "../../src/domain/Ids.ts"
import { connect } from "../support/gateway.ts"
import { testImage } from "../support/image.ts"
import { startPod } from "../support/pods.ts"
import { stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

const recorded = Schema.decodeUnknownSync(RecordedEvent)
const eventsOf = (messages: ReadonlyArray<Record<string, unknown>>) =>
  messages.flatMap((each) => (each["type"] === "event" ? [recorded(each["event"])] : []))
const of = (runId: string) => ({ path: { runId: RunId.make(runId) } })
const all = { urlParams: { after: 0, limit: MAX_EVENTS_PAGE } }
const start = (sessionId: string, runId: string, message: string) => ({
  path: { sessionId: SessionId.make(sessionId) },
  payload: { runId: RunId.make(runId), message }
})
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

      // How long it takes at most is held in `bounds.test.ts`.
      const started = yield* one.runs.start(start("s1", "r1", "tell me approve tokens:60 slow:50"))
      expect(started).toMatchObject({ runId: "r1", status: "accepted", runner: runner.name })

      const first = yield* connect(`${one.url}/ws/s1`, { token })
      yield* first.until((messages) => eventsOf(messages).filter(({ event }) => event._tag === "Token").length >= 3)
      // The first gateway goes, and tells its clients to reconnect.
      yield* one.signal("SIGTERM")
      expect(yield* first.closed).toMatchObject({ code: 1012 })
      const seen = eventsOf(first.messages)
      const second = yield* connect(`${two.url}/ws/s1?lastEventId=${seen.at(-1)?.eventId}`, { token })
      const late = yield* connect(`${two.url}/ws/s1`, { token })
      yield* late.until(has("ApprovalRequested"))
      expect(yield* two.runs.status(of("r1"))).toMatchObject({ status: "waiting" })
      yield* second.send({ type: "approve", ref: "yes", runId: "r1" })
      yield* second.until(has("Completed"))
      yield* late.until(has("Completed"))

      expect(yield* one.exit).toBe(0)
      const told = [...seen, ...eventsOf(second.messages)]
      expect(told).toEqual((yield* two.runs.events({ ...of("r1"), ...all })).events)
      expect(eventsOf(late.messages)).toEqual(told)
      expect(new Set(told.map(({ step, sequence }) => `${step}/${sequence}`)).size).toBe(told.length)
      expect(told.map(({ eventId }) => eventId)).toEqual([...told.map(({ eventId }) => eventId)].sort((a, b) => a - b))
      expect(told.at(-1)?.event).toMatchObject({
        text: told.map(({ event }) => (event._tag === "Token" ? event.text : "")).join("")
      })

      yield* two.runs.start(start("s2", "r2", "wait tokens:200 slow:50"))
      expect(yield* two.runs.cancel(of("r2"))).toMatchObject({ runId: "r2", status: "cancelled" })
      expect(yield* Effect.flip(two.runs.approve(of("r2")))).toMatchObject({ code: "run-finished" })
      yield* until(
        "the end of the cancelled run",
        two.runs.events({ ...of("r2"), ...all }),
        ({ events }) => events.at(-1)?.event._tag === "Cancelled"
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
