import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { createLocalJWKSet, jwtVerify } from "jose"
import * as DevIssuer from "./DevIssuer.ts"

const subject = { tenant: "acme", subject: "ann", email: "ann@acme.test" }

it.scopedLive("gives tokens in the metadata server's form, that its key set verifies and another's does not", () =>
  Effect.gen(function* () {
    const issuer = yield* DevIssuer.make({ issuer: "https://issuer.test", subject })
    const other = yield* DevIssuer.make({ issuer: "https://issuer.test", subject })
    const server = createServer(issuer.handler)
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    )
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const get = (path: string, headers: Record<string, string> = { "metadata-flavor": "Google" }) =>
      Effect.promise(async () => {
        const response = await fetch(`${url}${path}`, { headers })
        return { status: response.status, text: await response.text() }
      })

    const path = DevIssuer.METADATA_IDENTITY_PATH
    const { text } = yield* get(`${path}?audience=https://gateway.test`)
    const { payload } = yield* Effect.promise(() =>
      jwtVerify(text, createLocalJWKSet(issuer.jwks), {
        issuer: "https://issuer.test",
        audience: "https://gateway.test"
      })
    )
    expect(payload).toMatchObject({ tenant: "acme", sub: "ann", email: "ann@acme.test" })
    const refused = yield* Effect.promise(() =>
      jwtVerify(text, createLocalJWKSet(other.jwks)).then(
        () => "accepted",
        () => "refused"
      )
    )
    expect(refused).toBe("refused")

    const keys = yield* get("/jwks")
    expect(JSON.parse(keys.text)).toEqual(issuer.jwks)
    expect(keys.text).not.toContain('"d"')
    expect((yield* get(path)).status).toBe(400)
    expect((yield* get(`${path}?audience=x`, {})).status).toBe(403)
    expect((yield* get("/elsewhere")).status).toBe(404)
  })
)
