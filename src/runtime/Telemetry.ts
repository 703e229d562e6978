/**
 * Traces, sent as OTLP over HTTP to where `OTEL_EXPORTER_OTLP_ENDPOINT` points; without it, nowhere.
 *
 * A run is one trace: the gateway's request, the call to the session, the workflow, its activities, the model and the tools.
 * The cluster keeps the trace with its messages, so an execution that goes on after a crash goes on in its trace.
 *
 * A collector that is slow, broken or gone costs nothing but its spans. The exporter (`OtlpTracer`) collects up to 1,000 spans
 * and sends them; it knows no bound on requests in flight and repeats failed ones, which with a collector that hangs would
 * hold ever more memory. So the client that it is given has the bounds: two requests at a time, 5 s each, no second try, and
 * what can't be sent is dropped and counted.
 */
// By their paths: the package's index loads the OpenTelemetry SDKs, which this needs nothing of.
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "@effect/platform"
import { Cause, Effect, Exit, Layer, Metric, Option, Tracer } from "effect"
import { droppedSpanBatches } from "../domain/Metrics.ts"
import { scrub } from "./Logging.ts"

export interface TelemetrySettings {
  /** The collector's base: `/v1/traces` is added. */
  readonly endpoint: string
  /** Of the traces that begin here, how many are kept: 0 to 1. */
  readonly ratio: number
  readonly service: string
  readonly pod: string
  readonly release: string
}

const IN_FLIGHT = 2
const EXPORT_TIMEOUT = "5 seconds"
const BATCH = 1_000

/** What the environment says. An endpoint that is none is told and left out: telemetry never stops a process. */
export const fromEnv = (
  env: Readonly<Record<string, string | undefined>>,
  identity: Pick<TelemetrySettings, "service" | "pod" | "release">
): Layer.Layer<never> => {
  const endpoint = env["OTEL_EXPORTER_OTLP_ENDPOINT"]?.trim() ?? ""
  if (endpoint === "") return Layer.empty
  const url = URL.parse(endpoint)
  const ratio = Number(env["OTEL_TRACES_SAMPLER_ARG"] ?? "1")
  if (url === null || !/^https?:$/.test(url.protocol) || !(ratio >= 0 && ratio <= 1)) {
    return Layer.effectDiscard(
      Effect.logWarning(
        "No traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT must be an http(s) URL and OTEL_TRACES_SAMPLER_ARG from 0 to 1"
      )
    )
  }
  return layer({ ...identity, endpoint, ratio })
}

/** Answers every request at once or in a bounded time, and always with "accepted". */
const bounded = (client: HttpClient.HttpClient, endpoint: string): HttpClient.HttpClient => {
  let inFlight = 0
  let broken = false
  const drop = (why: string) =>
    Effect.gen(function* () {
      yield* Metric.increment(droppedSpanBatches)
      if (broken) return
      broken = true
      yield* Effect.logWarning(`The trace collector does not take spans, which are dropped: ${why}`).pipe(
        Effect.annotateLogs("collector", new URL(endpoint).host)
      )
    })
  return HttpClient.transform(client, (send, request) =>
    Effect.suspend(() => {
      const accepted = HttpClientResponse.fromWeb(request, new Response(null, { status: 202 }))
      if (inFlight >= IN_FLIGHT) return Effect.as(drop("it is too slow"), accepted)
      inFlight += 1
      return send.pipe(
        Effect.flatMap((response) => Effect.as(response.arrayBuffer, response)),
        Effect.timeoutFail({ duration: EXPORT_TIMEOUT, onTimeout: () => `no answer within ${EXPORT_TIMEOUT}` }),
        Effect.matchEffect({
          onFailure: (error) => drop(typeof error === "string" ? error : error.reason),
          onSuccess: ({ status }) =>
            status >= 400
              ? drop(`it answers ${status}`)
              : Effect.suspend(() => {
                  if (!broken) return Effect.void
                  broken = false
                  return Effect.logInfo("The trace collector takes spans again")
                })
        }),
        Effect.as(accepted),
        Effect.ensuring(Effect.sync(() => (inFlight -= 1)))
      )
    })
  )
}

/** Attributes that say something about a person, or everything about a request. */
const PRIVATE = /^(user_agent\.original|client\.address|url\.(query|full)|http\.(request|response)\.header\.)/

/** Spans with which a trace may begin. Polling, health checks and the cluster's own housekeeping would be most of all spans. */
const beginsTrace = (name: string, kind: Tracer.SpanKind): boolean =>
  kind === "server" || /^(Runs|Sockets|Agent|AgentWorkflow\w*)\b/.test(name)

/** A failure without its stack and without what it quotes. */
const quiet = (exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return exit
  const [first] = Cause.prettyErrors(exit.cause)
  const error = new Error(scrub(first?.message ?? "failed").slice(0, 300))
  error.name = first?.name ?? "Error"
  error.stack = ""
  return Exit.die(error)
}

const hex = (length: number) => {
  let id = ""
  while (id.length < length) id += Math.floor(Math.random() * 16).toString(16)
  return id
}

/** Has an identity for logs and children, and goes nowhere. */
class UnsampledSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly sampled = false
  readonly spanId = hex(16)
  readonly traceId: string
  readonly attributes = new Map<string, unknown>()
  status: Tracer.SpanStatus
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Tracer.Span["context"]
  readonly links: ReadonlyArray<Tracer.SpanLink>
  readonly kind: Tracer.SpanKind

  constructor(
    name: string,
    parent: Option.Option<Tracer.AnySpan>,
    context: Tracer.Span["context"],
    links: ReadonlyArray<Tracer.SpanLink>,
    startTime: bigint,
    kind: Tracer.SpanKind
  ) {
    this.name = name
    this.parent = parent
    this.context = context
    this.links = links
    this.kind = kind
    this.status = { _tag: "Started", startTime }
    this.traceId = Option.match(parent, { onNone: () => hex(32), onSome: ({ traceId }) => traceId })
  }
  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>) {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
  attribute() {}
  event() {}
  addLinks() {}
}

/** Decides once, at a trace's begin, whether it is kept; takes out what must not leave the process. */
export const selective = (tracer: Tracer.Tracer, ratio: number): Tracer.Tracer =>
  Tracer.make({
    span(name, parent, context, links, startTime, kind) {
      const sampled = Option.match(parent, {
        onNone: () => beginsTrace(name, kind) && Math.random() < ratio,
        onSome: (span) => span.sampled
      })
      if (!sampled) return new UnsampledSpan(name, parent, context, links, startTime, kind)
      const span = tracer.span(name, parent, context, links, startTime, kind)
      const { attribute, end } = span
      span.attribute = (key, value) => (PRIVATE.test(key) ? undefined : attribute.call(span, key, value))
      span.end = (endTime, exit) => end.call(span, endTime, quiet(exit))
      return span
    },
    context: tracer.context
  })

/** Sends the spans of everything that is built on top. */
export const layer = (settings: TelemetrySettings): Layer.Layer<never> =>
  Layer.unwrapScoped(
    OtlpTracer.make({
      url: `${settings.endpoint.replace(/\/+$/, "")}/v1/traces`,
      resource: {
        serviceName: settings.service,
        serviceVersion: settings.release,
        attributes: { "k8s.pod.name": settings.pod }
      },
      exportInterval: "1 second",
      maxBatchSize: BATCH,
      shutdownTimeout: "1 second"
    }).pipe(
      Effect.map((tracer) => Layer.setTracer(selective(tracer, settings.ratio))),
      Effect.provide(OtlpSerialization.layerJson),
      Effect.provideServiceEffect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, (client) => bounded(client, settings.endpoint))
      )
    )
  ).pipe(Layer.provide(FetchHttpClient.layer))
