import { Either } from "effect"
import { expect, it } from "vitest"
import { readEdge } from "./EdgeSettings.ts"

const env = {
  USER_ISSUER: "https://users.example",
  USER_AUDIENCE: "https://edge.example",
  USER_JWKS_URL: "https://users.example/keys",
  IDENTITY_AUDIENCE: "https://gateway.example",
  GATEWAY_URL: "http://gateway.internal:8080"
}

it("takes what Cloud Run gives: the port, the revision, the metadata server, a front end that names the client", () => {
  const { name, serve } = Either.getOrThrow(readEdge({ ...env, PORT: "9090", K_REVISION: "edge-00001" }))
  expect(name).toBe("edge-00001")
  expect(serve).toMatchObject({
    port: 9090,
    proxyHops: 1,
    origins: [],
    gateway: { token: { metadataHost: "metadata.google.internal", audience: "https://gateway.example" } }
  })
})

it("says everything that is wrong at once", () => {
  const refused = Either.getOrThrow(
    Either.flip(readEdge({ USER_JWKS_URL: "file:///keys", CORS_ORIGINS: "*, https://app.example/", PORT: "http" }))
  )
  for (const what of [
    "USER_ISSUER is not set",
    "USER_AUDIENCE is not set",
    "IDENTITY_AUDIENCE is not set",
    "GATEWAY_URL is not set",
    'USER_JWKS_URL is "file:///keys"',
    'CORS_ORIGINS has "*"',
    'CORS_ORIGINS has "https://app.example/"',
    'PORT is "http"'
  ]) {
    expect(refused.message).toContain(what)
  }
})
