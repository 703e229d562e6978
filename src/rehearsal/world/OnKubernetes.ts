/**
 * On a cluster of kubectl's context: each target a namespace, Postgres and an issuer in one of their own, the load as a Job.
 *
 * Pods can't reach this machine, so nothing that they need is on it; this process reaches them by port-forwards.
 */
import { join } from "node:path"
import { Effect, Schedule, type Scope } from "effect"
import { METADATA_IDENTITY_PATH } from "../../domain/DevIssuer.ts"
import { DriverFailed, type ManifestRefused, type NotFound } from "../drivers/Driver.ts"
import * as Context from "../drivers/kubernetes/Context.ts"
import { itemsOf, takingPods } from "../drivers/kubernetes/Json.ts"
import * as KubernetesDriver from "../drivers/kubernetes/KubernetesDriver.ts"
import { PreconditionMissing, ToolFailed } from "../Errors.ts"
import * as JobLoad from "../load/JobLoad.ts"
import * as Platform from "../Platform.ts"
import { push } from "../release/Push.ts"
import { ISSUER_PORT, issuer, POSTGRES_PORT, postgres } from "./Objects.ts"
import * as PostgresImage from "./PostgresImage.ts"
import { LOAD_RATE, type Setup, type World } from "./World.ts"

export interface Options {
  /** Of kubectl; its current one when absent. */
  readonly context?: string
  /** A context that is not plainly of this machine, named on purpose. */
  readonly mine?: string
  /** Builds and pushes an image: see `release/Push.ts`. */
  readonly imageCommand: string
}

const AUDIENCE = "agent-gateway"
const PLATFORM = "platform"
const namespaceOf = (target: string) => `rehearsal-${target}`
const START_MS = 180_000
const TOKEN_AGE = "20 minutes"

/** The issuer of `docker compose up`, as one file. */
const issuerProgram = (root: string): Effect.Effect<string, ToolFailed> =>
  Effect.tryPromise({
    try: async () => {
      const { build } = await import("esbuild")
      const built = await build({
        entryPoints: [join(root, "src", "bin", "dev-issuer.ts")],
        bundle: true,
        write: false,
        platform: "node",
        format: "esm",
        target: "node24",
        minify: true,
        legalComments: "none",
        logLevel: "silent"
      })
      return built.outputFiles[0]!.text
    },
    catch: (cause) => new ToolFailed({ message: `The issuer's program could not be built: ${cause}` })
  })

export const open = (
  { root, run, progress, build }: Setup,
  options: Options
): Effect.Effect<World, PreconditionMissing | ToolFailed | DriverFailed | ManifestRefused | NotFound, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Context.find(options.context)
    yield* Context.requireLocal(context, options.mine)
    const making = KubernetesDriver.make({
      context: context.name,
      stateFolder: join(run, "pods"),
      namespace: namespaceOf
    })
    const own = yield* making
    const left = yield* own.api.call(`/api/v1/namespaces/${namespaceOf(PLATFORM)}`).pipe(
      Effect.as(true),
      Effect.catchIf(
        ({ status }) => status === 404,
        () => Effect.succeed(false)
      ),
      Effect.mapError(
        ({ message }) =>
          new PreconditionMissing({ message: `The cluster of context "${context.name}" does not answer: ${message}` })
      )
    )
    if (left) {
      return yield* new PreconditionMissing({
        message: `The cluster of context "${context.name}" has a namespace ${namespaceOf(PLATFORM)}: another rehearsal runs there, or one was killed before it could clean up. Then: kubectl --context ${context.name} delete namespace -l deliver.rehearsal/target`
      })
    }

    const built = yield* build
    const folder = join(run, "images")
    const [predecessor, current, bad] = yield* Effect.all(
      [built.predecessor, built.current, built.bad].map((release) =>
        push(release, { command: options.imageCommand, folder })
      ) as [ReturnType<typeof push>, ReturnType<typeof push>, ReturnType<typeof push>]
    )
    const server = yield* PostgresImage.build({ command: options.imageCommand, folder })
    yield* progress.say(
      "build",
      `images of ${predecessor.name}, ${current.name}, ${bad.name} and of Postgres are pushed`
    )

    const platform = yield* own.open(PLATFORM)
    // A second one, so that the platform ends after the targets: a runner without its database is slow to stop.
    const driver = yield* making
    const inside = (name: string) => `${name}.${namespaceOf(PLATFORM)}.svc.cluster.local`
    const url = `http://${inside("issuer")}:${ISSUER_PORT}`
    const password = crypto.randomUUID()
    const objects = [
      ...postgres(server, password),
      ...issuer(current.images["agents"] ?? "", yield* issuerProgram(root), url)
    ]
    yield* platform.apply(objects)
    yield* platform
      .awaitRollout(objects, { deadlineMs: START_MS })
      .pipe(
        Effect.mapError(
          ({ message, log }) =>
            new ToolFailed({ message: [`The platform did not start: ${message}`, ...log].join("\n") })
        )
      )
    const database = yield* platform.serviceAddress("postgres", POSTGRES_PORT)
    const tokens = yield* platform.serviceAddress("issuer", ISSUER_PORT)
    yield* progress.say(
      "platform",
      `context ${context.name}: Postgres and the issuer in namespace ${platform.namespace}`
    )

    const token = yield* Effect.tryPromise(async () => {
      const answer = await fetch(
        `http://${tokens.host}:${tokens.port}${METADATA_IDENTITY_PATH}?audience=${AUDIENCE}&format=full`,
        { headers: { "metadata-flavor": "Google", connection: "close" } }
      )
      if (!answer.ok) throw new Error(`status ${answer.status}`)
      return await answer.text()
    }).pipe(
      Effect.retry(Schedule.spaced("500 millis").pipe(Schedule.upTo("20 seconds"))),
      Effect.orDie,
      Effect.cachedWithTTL(TOKEN_AGE)
    )
    return {
      releases: { predecessor, current, bad },
      driver,
      nodes: driver.api.call("/api/v1/nodes").pipe(
        Effect.map((list) => takingPods(itemsOf(list))),
        Effect.mapError(({ message }) => new DriverFailed({ message: `Listing the nodes failed: ${message}` }))
      ),
      platform: yield* Platform.make({
        host: inside("postgres"),
        port: POSTGRES_PORT,
        url: (name) => `postgres://postgres:${password}@${database.host}:${database.port}/${name}`
      }),
      identity: {
        issuer: url,
        audience: AUDIENCE,
        jwksUrl: `${url}/jwks`,
        metadataHost: `${inside("issuer")}:${ISSUER_PORT}`,
        // One issuer that can't tell accounts apart: the gates ask with the name that everybody has.
        gateCaller: "developer@agents.test",
        token
      },
      startLoad: (target, smoke) =>
        progress
          .say(target.stage.targetId, `k6 starts ${LOAD_RATE} runs per second as a Job, until the end`)
          .pipe(Effect.zipRight(JobLoad.start({ cluster: target.cluster, smoke, rate: LOAD_RATE })))
    }
  })
