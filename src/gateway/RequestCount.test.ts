import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, testGateway } from "../../test/support/gateway.ts"

it.scopedLive("counts answers of HTTP and of sockets by status, and neither probes nor its own reader", () =>
  Effect.gen(function* () {
    const gateway = yield* testGateway({ admission: { user: { perSecond: 0.001, burst: 3 } } })
    const counted = Effect.promise(async () => {
      const text = await (await fetch(`${gateway.url}/metrics`)).text()
      const lines = text.matchAll(/^agents_gateway_requests_total\{code="(\d+)"\} (\d+)$/gm)
      return Object.fromEntries([...lines].map(([, code, count]) => [code, Number(count)]))
    })
    yield* gateway.request("GET", "/healthz")
    yield* gateway.request("GET", "/readyz")
    expect(yield* counted).toEqual({})
    const { token, url } = gateway
    yield* connect(`${url}/ws/s1`, { token })
    yield* Effect.flip(connect(`${url}/ws/s1`, { token: "none" }))
    for (let i = 0; i < 4; i++) yield* gateway.request("GET", "/runs/none")
    expect(yield* counted).toEqual({ 101: 1, 401: 1, 404: 3, 429: 1 })
  })
)
