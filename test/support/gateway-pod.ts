/** A gateway as a pod, and the issuer whose tokens it takes, each on an address of the test's network. */
import { createServer, type RequestListener } from "node:http"
import { Effect, type Scope } from "effect"
import * as DevIssuer from "../../src/domain/DevIssuer.ts"
import type { TestImage } from "./image.ts"
import { startPod, type TestPod } from "./pods.ts"

export const serveHttp = (host: string, port: number, handler: RequestListener) =>
  Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const server = createServer(handler)
      server.listen(port, host, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

/** At port 8080. */
export const issuerAt = (
  address: string,
  subject: DevIssuer.Subject
): Effect.Effect<DevIssuer.DevIssuer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const issuer = yield* DevIssuer.make({ issuer: `http://${address}:8080`, subject })
    yield* serveHttp(address, 8080, issuer.handler)
    return issuer
  })

/** Asks it to start a run of the session that is named like it, with the default model; the answer has been read to its end. */
export const startRun = (
  gateway: TestPod,
  token: string,
  { runId, message }: { readonly runId: string; readonly message: string }
): Effect.Effect<Response> =>
  Effect.promise(async () => {
    const response = await fetch(`http://${gateway.address}:8080/agents/${runId}/runs`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ runId, message })
    })
    await response.text()
    return response
  })

/** `startRun` of a gateway that has answered nobody before; dies where the answer is another than 202. */
export const firstAnswer = (gateway: TestPod, token: string, runId: string): Effect.Effect<void> =>
  Effect.flatMap(startRun(gateway, token, { runId, message: "hello" }), ({ status }) =>
    status === 202 ? Effect.void : Effect.dieMessage(`the first call was answered with ${status}`)
  )

/** `agent-gateway-ORDINAL`, started and left at that. */
export const gatewayPod = (options: {
  readonly image: TestImage
  readonly ordinal: number
  readonly address: string
  /** The folder of the mounted Secret of the database. */
  readonly secret: string
  readonly issuer: DevIssuer.DevIssuer
  readonly audience: string
  readonly env?: Readonly<Record<string, string>>
}): Effect.Effect<TestPod, never, Scope.Scope> =>
  startPod({
    image: options.image,
    program: "gateway",
    name: `agent-gateway-${options.ordinal}`,
    address: options.address,
    env: {
      DATABASE_SECRET_DIR: options.secret,
      IDENTITY_ISSUER: options.issuer.issuer,
      IDENTITY_AUDIENCE: options.audience,
      IDENTITY_JWKS_URL: `${options.issuer.issuer}/jwks`,
      ...options.env
    }
  })
