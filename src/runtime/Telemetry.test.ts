import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Option, Tracer } from "effect"
import { until } from "../../test/support/wait.ts"
import { droppedSpanBatches } from "../domain/Metrics.ts"
import { fromEnv } from "./Telemetry.ts"

interface OtlpSpan {
  readonly name: string
  readonly traceId: string
  readonly attributes: ReadonlyArray<{ readonly key: string }>
  readonly status: { readonly message?: string }
  readonly events: ReadonlyArray<unknown>
}

/** A collector of which each test says how it answers. */
const collector = (answer: (spans: ReadonlyArray<OtlpSpan>, response: ServerResponse) => void) =>
  Effect.gen(function* () {
    const handler = (request: IncomingMessage, response: ServerResponse) => {
      let body = ""
      request.on("data", (chunk) => (body += chunk))
      request.on("end", () => {
        const data = JSON.parse(body) as {
          resourceSpans: ReadonlyArray<{ scopeSpans: ReadonlyArray<{ spans: ReadonlyArray<OtlpSpan> }> }>
        }
        answer(
          data.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
          response
        )
      })
    }
    const server = yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const made = createServer(handler)
        made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) =>
        Effect.sync(() => {
          made.closeAllConnections()
          made.close()
        })
    )
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })

/** With a process' telemetry on, and what it logs kept. */
const process = (endpoint: string, env: Readonly<Record<string, string>> = {}) => {
  const logged: Array<string> = []
  const layer = fromEnv(
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...env },
    { service: "agent-runner", pod: "effect-agent-runtime-0", release: "abc" }
  ).pipe(
    Layer.provideMerge(
      Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ logLevel, message }) => void logged.push(`${logLevel.label} ${String(message)}`))
      )
    )
  )
  return { layer, logged }
}

const traced = (name: string) => Effect.withSpan(Effect.void, name)

it.scopedLive("sends what begins a trace and all below it, and nothing private", () =>
  Effect.gen(function* () {
    const received: Array<OtlpSpan> = []
    const url = yield* collector((spans, response) => {
      received.push(...spans)
      response.writeHead(200).end("{}")
    })
    const { layer } = process(url)
    yield* Effect.gen(function* () {
      yield* traced("sql.events.of_cursors")
      yield* Effect.fail(new Error("no mailbox jane.doe@example.com")).pipe(
        Effect.withSpan("step"),
        Effect.withSpan("Runs.start", {
          attributes: { "client.address": "192.0.2.7", "http.response.status_code": 200 }
        }),
        Effect.ignore
      )
    }).pipe(Effect.provide(layer))
    expect(received.map(({ name }) => name).sort()).toEqual(["Runs.start", "step"])
    expect(new Set(received.map(({ traceId }) => traceId)).size).toBe(1)
    expect(received.flatMap(({ attributes }) => attributes.map(({ key }) => key))).toContain(
      "http.response.status_code"
    )
    const text = JSON.stringify(received)
    expect(text).toContain("no mailbox <email>")
    expect(text).not.toContain("192.0.2.7")
    expect(text).not.toContain("jane.doe")
  })
)

it.scopedLive("keeps or leaves a trace as a whole, by its begin and by what the caller decided", () =>
  Effect.gen(function* () {
    const received: Array<string> = []
    const url = yield* collector((spans, response) => {
      received.push(...spans.map(({ name }) => name))
      response.writeHead(200).end("{}")
    })
    const { layer } = process(url, { OTEL_TRACES_SAMPLER_ARG: "0" })
    const from = (sampled: boolean) =>
      Tracer.externalSpan({ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled })
    yield* Effect.gen(function* () {
      yield* Effect.withSpan(traced("child"), "Runs.start")
      yield* traced("of a sampled caller").pipe(Effect.withParentSpan(from(true)))
      yield* traced("of an unsampled caller").pipe(Effect.withParentSpan(from(false)))
      const inside = yield* Effect.option(Effect.currentSpan).pipe(Effect.withSpan("Runs.start"))
      expect(Option.map(inside, ({ traceId }) => traceId.length)).toEqual(Option.some(32))
    }).pipe(Effect.provide(layer))
    expect(received).toEqual(["of a sampled caller"])
  })
)

it.scopedLive(
  "lets work go on at its pace, holds a bounded number of requests and warns once when the collector hangs",
  () =>
    Effect.gen(function* () {
      const hanging = new Set<ServerResponse>()
      const url = yield* collector((_, response) => void hanging.add(response))
      const { layer, logged } = process(url)
      const [took] = yield* Effect.gen(function* () {
        const dropped = Metric.value(droppedSpanBatches).pipe(Effect.map(({ count }) => Number(count)))
        const before = yield* dropped
        // Six times what two requests in flight carry.
        yield* Effect.forEach(Array.from({ length: 12_000 }), () => traced("Runs.start"), { discard: true })
        yield* until("batches are dropped", dropped, (count) => count - before >= 8)
        expect(hanging.size).toBeLessThanOrEqual(2)
        expect(logged.filter((line) => line.startsWith("WARN"))).toHaveLength(1)
        return yield* Effect.timed(
          Effect.forEach(Array.from({ length: 1_000 }), () => traced("Runs.start"), { discard: true })
        )
      }).pipe(Effect.provide(layer))
      expect(Duration.toMillis(took)).toBeLessThan(3_000)
      expect(logged[0]).toContain("does not take spans, which are dropped")
    })
)

it.scopedLive("warns once of a collector that is not there, and says when it is back", () =>
  Effect.gen(function* () {
    let status = 503
    const url = yield* collector((_, response) => void response.writeHead(status).end())
    const { layer, logged } = process(url)
    yield* Effect.gen(function* () {
      yield* Effect.forEach(Array.from({ length: 1_000 }), () => traced("Runs.start"), { discard: true })
      yield* until(
        "a warning",
        Effect.sync(() => logged),
        (lines) => lines.length > 0
      )
      status = 200
      yield* until(
        "a word of its return",
        Effect.andThen(
          traced("Runs.start"),
          Effect.sync(() => logged)
        ),
        (lines) => lines.some((line) => line.includes("takes spans again"))
      )
    }).pipe(Effect.provide(layer))
    expect(logged.filter((line) => line.startsWith("WARN"))).toEqual([
      "WARN The trace collector does not take spans, which are dropped: it answers 503"
    ])
  })
)

it.scopedLive("starts without traces when the endpoint is none, and says so", () =>
  Effect.gen(function* () {
    const { layer, logged } = process("collector:4318 please")
    yield* Effect.provide(traced("Runs.start"), layer)
    expect(logged).toHaveLength(1)
    expect(logged[0]).toContain("No traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT")
  })
)
