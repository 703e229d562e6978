/** Everything on this machine: pods as processes on loopback addresses, an embedded Postgres, k6 beside them. */
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import type { DriverFailed } from "../drivers/Driver.ts"
import * as ProcessDriver from "../drivers/processes/ProcessDriver.ts"
import type { PreconditionMissing, ToolFailed } from "../Errors.ts"
import * as Identity from "../Identity.ts"
import * as SteadyLoad from "../load/SteadyLoad.ts"
import { claimSubnet, type LoopbackUnavailable } from "../net/Loopback.ts"
import * as Platform from "../Platform.ts"
import * as Postgres from "../postgres/EmbeddedPostgres.ts"
import * as Release from "../release/Release.ts"
import { LOAD_SESSIONS } from "../Walk.ts"
import { LOAD_RATE, type Setup, type World } from "./World.ts"

export const open = ({
  root,
  run,
  tools,
  progress,
  build
}: Setup): Effect.Effect<
  World,
  PreconditionMissing | ToolFailed | Postgres.PostgresUnavailable | LoopbackUnavailable | DriverFailed,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const subnet = yield* claimSubnet
    const [releases, server, identity] = yield* Effect.all(
      [
        build,
        Postgres.start({
          dataDir: join(run, "postgres", "data"),
          host: subnet.address(2),
          port: 5432,
          maxConnections: 400
        }),
        Identity.serve(subnet.address(3))
      ],
      { concurrency: "unbounded" }
    )
    yield* progress.say("platform", `Postgres 16 on ${server.host}:${server.port}, pods on ${subnet.prefix}.0/24`)
    const all = [releases.predecessor, releases.current, releases.bad]
    const driver = yield* ProcessDriver.make({
      stateFolder: join(run, "pods"),
      executables: { "/nodejs/bin/node": process.execPath, k6: tools.k6 },
      image: (reference) => {
        const folder = Release.imageRoot(all, reference)
        return folder === undefined
          ? new ProcessDriver.ImageNotFound({
              image: reference,
              message: `${reference} belongs to no release of this rehearsal.`
            })
          : Effect.succeed({ root: folder })
      },
      identity: {
        sign: ({ serviceAccount, audience }) =>
          Effect.runPromise(
            identity.issuer.issue({
              audience,
              subject: serviceAccount,
              email: `${serviceAccount}@rehearsal.localhost`
            })
          ),
        jwks: async () => identity.issuer.jwks
      }
    })
    return {
      releases,
      driver,
      platform: yield* Platform.make(server),
      reachedAt: subnet.address(3),
      identity: {
        issuer: identity.issuer.issuer,
        audience: identity.audience,
        jwksUrl: identity.jwksUrl,
        gateCaller: Platform.GATE_CALLER,
        token: identity.token
      },
      startLoad: (target) =>
        Effect.gen(function* () {
          const { host, port } = yield* target.cluster.serviceAddress("agent-gateway", "http")
          yield* progress.say(
            target.stage.targetId,
            `k6 starts ${LOAD_RATE} runs per second at http://${host}:${port}, until the end`
          )
          return yield* SteadyLoad.start({
            k6: tools.k6,
            script: join(root, "smoke", "load.js"),
            summaryFile: join(run, "load.json"),
            rate: LOAD_RATE,
            env: {
              GATEWAY_URL: `http://${host}:${port}`,
              GCE_METADATA_HOST: identity.metadataHost,
              IDENTITY_AUDIENCE: identity.audience,
              SESSION_PREFIX: LOAD_SESSIONS
            }
          })
        })
    }
  })
