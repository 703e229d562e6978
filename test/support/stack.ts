/** `testCluster` with what surrounds it: gateways, an issuer, and the small piece of the Kubernetes API that smoke uses. */
import { connect, createServer as createTcpServer } from "node:net"
import { Effect, Scope } from "effect"
import * as ApiClient from "../../src/domain/ApiClient.ts"
import type * as DevIssuer from "../../src/domain/DevIssuer.ts"
import { type TestCluster, testCluster } from "./cluster.ts"
import * as GatewayPod from "./gateway-pod.ts"
import { issuerAt, serveHttp } from "./gateway-pod.ts"
import { testImage } from "./image.ts"
import { databaseSecret, type TestPod } from "./pods.ts"

export const AUDIENCE = "https://agent-gateway.test"
export const SMOKE_TENANT = "smoke"

export interface Stack extends Omit<TestCluster, "runner"> {
  readonly issuer: DevIssuer.DevIssuer
  readonly token: string
  /** The mounted Secret of the database, the same for all. */
  readonly secret: string
  /** Starts a runner and waits until it is ready. */
  readonly runner: (
    ordinal: number,
    env?: Readonly<Record<string, string>>
  ) => Effect.Effect<TestPod, unknown, Scope.Scope>
  /** Starts a gateway and waits until it is ready. `runs` are its operations, called with `token`. */
  readonly gateway: (
    ordinal: number,
    env?: Readonly<Record<string, string>>
  ) => Effect.Effect<
    TestPod & { readonly url: string; readonly runs: ApiClient.ApiClient["runs"] },
    unknown,
    Scope.Scope
  >
  /** Starts a gateway and leaves it at that. */
  readonly gatewayPod: (
    ordinal: number,
    env?: Readonly<Record<string, string>>
  ) => Effect.Effect<TestPod, never, Scope.Scope>
  /** A Service in front of gateways: passes each connection to one of `endpoints` (their addresses) in turn. */
  readonly service: Effect.Effect<{ readonly url: string; readonly endpoints: Set<string> }, never, Scope.Scope>
  /** Ends a runner with SIGKILL and starts it again under its name. */
  readonly kill: (name: string) => Effect.Effect<void, unknown>
  /** What `smoke/` needs to find everything. */
  readonly smokeEnv: (gatewayUrl: string) => Readonly<Record<string, string>>
}

export const stack: Effect.Effect<Stack, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const [cluster, image] = yield* Effect.all([testCluster, testImage({ entries: ["gateway"] })], { concurrency: 2 })
  const { subnet, database } = cluster
  const secret = yield* databaseSecret(database.urlOf("runtime"))
  const subject = { tenant: SMOKE_TENANT, subject: "smoke", email: "smoke@agents.test" }
  const issuer = yield* issuerAt(subnet.address(3), subject)

  const runners = new Map<string, TestPod>()
  const runner = (ordinal: number, env: Readonly<Record<string, string>> = {}) =>
    Effect.gen(function* () {
      const started = yield* cluster.runner(ordinal, { env })
      runners.set(started.name, started)
      yield* started.ready
      return started
    })
  // As a StatefulSet would: a deleted pod comes back under its name.
  const kill = (name: string) =>
    Effect.gen(function* () {
      const pod = runners.get(name)
      if (pod === undefined) return yield* Effect.fail(`there is no pod ${name}`)
      yield* pod.signal("SIGKILL")
      yield* pod.exit
      yield* runner(Number(name.split("-").at(-1)))
    }).pipe(Scope.extend(scope))
  yield* serveHttp(subnet.address(4), 8080, (request, response) => {
    const name = /^\/api\/v1\/namespaces\/agents\/pods\/([^/?]+)/.exec(request.url ?? "")?.[1] ?? ""
    const known = request.method === "DELETE" && runners.has(name)
    if (known) Effect.runFork(Effect.ignore(kill(name)))
    response.writeHead(known ? 200 : 404, { "content-type": "application/json" }).end("{}")
  })

  const gatewayPod = (ordinal: number, env: Readonly<Record<string, string>> = {}) =>
    GatewayPod.gatewayPod({
      ...{ image, ordinal, secret, issuer },
      address: subnet.address(100 + ordinal),
      audience: AUDIENCE,
      env: { DRAIN_WINDOW_MS: "300", DRAIN_IDLE_MS: "3000", ...env }
    })

  const token = yield* issuer.issue({ audience: AUDIENCE })
  return {
    ...cluster,
    issuer,
    secret,
    token,
    runner,
    kill,
    service: Effect.gen(function* () {
      const endpoints = new Set<string>()
      let turn = 0
      const server = createTcpServer((inbound) => {
        const all = [...endpoints]
        const outbound = connect(8080, all[turn++ % all.length])
        for (const [one, other] of [
          [inbound, outbound],
          [outbound, inbound]
        ] as const) {
          one.pipe(other)
          one.on("error", () => other.destroy())
          one.on("close", () => other.destroy())
        }
      })
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          server.listen(8080, subnet.address(5), () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      return { url: `http://${subnet.address(5)}:8080`, endpoints }
    }),
    gatewayPod,
    gateway: (ordinal, env) =>
      Effect.gen(function* () {
        const pod = yield* gatewayPod(ordinal, env)
        yield* pod.ready
        const url = `http://${pod.address}:8080`
        return { ...pod, url, runs: (yield* ApiClient.make({ baseUrl: url, token: Effect.succeed(token) })).runs }
      }),
    smokeEnv: (gatewayUrl) => ({
      GATEWAY_URL: gatewayUrl,
      IDENTITY_AUDIENCE: AUDIENCE,
      GCE_METADATA_HOST: `${subnet.address(3)}:8080`,
      KUBERNETES_API_URL: `http://${subnet.address(4)}:8080`
    })
  }
})
