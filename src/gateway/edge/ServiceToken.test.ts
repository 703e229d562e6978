import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as DevIssuer from "../../domain/DevIssuer.ts"
import * as ServiceToken from "./ServiceToken.ts"

it.scopedLive(
  "fetches a token once, again when it is about to end, and lives on the old one while none can be had",
  () =>
    Effect.gen(function* () {
      const issuer = yield* DevIssuer.make({
        issuer: "https://issuer.test",
        subject: { tenant: "acme", subject: "edge", email: "edge@test" }
      })
      // What the metadata server does next.
      let lifetimeSeconds = 3_600
      let down = false
      let asked = 0
      const server = yield* Effect.acquireRelease(
        Effect.async<ReturnType<typeof createServer>>((resume) => {
          const made = createServer((request, response) => {
            asked += 1
            if (down || request.headers["metadata-flavor"] !== "Google") return void response.writeHead(503).end()
            const audience = new URL(request.url ?? "", "http://m").searchParams.get("audience") ?? ""
            Effect.runPromise(issuer.issue({ audience, lifetimeSeconds })).then((token) => response.end(`${token}\n`))
          })
          made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
        }),
        (made) => Effect.sync(() => made.close())
      )
      const metadataHost = `127.0.0.1:${(server.address() as AddressInfo).port}`
      const token = yield* ServiceToken.make({ metadataHost, audience: "https://gateway.test" })
      const [first, again] = yield* Effect.all([token, token], { concurrency: 2 })
      expect(Redacted.value(again)).toBe(Redacted.value(first))
      expect(asked).toBe(1)
      const claims = JSON.parse(
        Buffer.from(Redacted.value(first).split(".")[1] ?? "", "base64url").toString()
      ) as object
      expect(claims).toMatchObject({ aud: "https://gateway.test", email: "edge@test" })

      // One that ends within five minutes is fetched again each time; with nobody to ask it is used while it holds.
      lifetimeSeconds = 200
      const short = yield* ServiceToken.make({ metadataHost, audience: "x" })
      yield* short
      yield* short
      expect(asked).toBe(3)
      down = true
      expect(Redacted.value(yield* short).length).toBeGreaterThan(100)
      const none = yield* ServiceToken.make({ metadataHost, audience: "y" })
      expect((yield* Effect.flip(none)).message).toMatch(/metadata server 127.* gave no token: it answered 503/)
    })
)
