/** A trace collector that speaks OTLP over HTTP and keeps what it is sent. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"

export interface CollectedSpan {
  readonly service: string
  readonly pod: string
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
}

interface Otlp {
  readonly resourceSpans: ReadonlyArray<{
    readonly resource: {
      readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: { readonly stringValue?: string } }>
    }
    readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<Omit<CollectedSpan, "service" | "pod">> }>
  }>
}

export const collector: Effect.Effect<
  { readonly url: string; readonly spans: () => ReadonlyArray<CollectedSpan> },
  never,
  Scope.Scope
> = Effect.gen(function* () {
  const spans: Array<CollectedSpan> = []
  const server = yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const made = createServer((request, response) => {
        let body = ""
        request.on("data", (chunk) => (body += chunk))
        request.on("end", () => {
          for (const { resource, scopeSpans } of (JSON.parse(body) as Otlp).resourceSpans) {
            const of = (name: string) => resource.attributes.find(({ key }) => key === name)?.value.stringValue ?? ""
            const process = { service: of("service.name"), pod: of("k8s.pod.name") }
            for (const scope of scopeSpans) spans.push(...scope.spans.map((span) => ({ ...span, ...process })))
          }
          response.writeHead(200, { "content-type": "application/json" }).end("{}")
        })
      })
      made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) =>
      Effect.sync(() => {
        made.closeAllConnections()
        made.close()
      })
  )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans: () => spans }
})
