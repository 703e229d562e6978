/** The host process: keeps Postgres, identity and clusters running, and answers its server's calls on loopback. */
import { timingSafeEqual } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Deferred, Effect, Either, Exit, Option, Runtime, Schema, Scope } from "effect"
import type { Cluster, KubeObject } from "../drivers/Driver.ts"
import * as LocalServer from "../drivers/processes/LocalServer.ts"
import * as ProcessDriver from "../drivers/processes/ProcessDriver.ts"
import { ToolFailed } from "../Errors.ts"
import * as Identity from "../Identity.ts"
import { claimSubnet } from "../net/Loopback.ts"
import * as Platform from "../Platform.ts"
import * as Postgres from "../postgres/EmbeddedPostgres.ts"
import { Release } from "../release/Release.ts"
import * as Tools from "../Tools.ts"
import { type Call, calls, HostAddress, type Request, type Response } from "./Host.ts"
import { ADDRESS_FILE } from "./HostClient.ts"
import * as JobTable from "./JobTable.ts"
import * as Metrics from "./Metrics.ts"

export interface HostOptions {
  /** The host's own state: database, pods, applied objects, Jobs. */
  readonly folder: string
  /** The repository, whose `k8s/platform` every target gets. */
  readonly root: string
  /** Below it `releases/`, where the images lie. */
  readonly cache: string
  /** The host ends when no server has spoken to it for this long. */
  readonly idleMs: number
}

const BODY_LIMIT_BYTES = 32 * 1024 * 1024
const DATABASE = "rehearsal"

/** The folder that stands for `/` in the image with this reference. Any registry in front of the name is left out. */
const imageRoot = async (cache: string, reference: string): Promise<string | undefined> => {
  const bare = reference.slice(reference.lastIndexOf("/") + 1)
  const folder = join(cache, "releases")
  for (const name of existsSync(folder) ? await readdir(folder) : []) {
    const text = await readFile(join(folder, name, "release.json"), "utf8").catch(() => undefined)
    if (text === undefined) continue
    const { images } = Schema.decodeUnknownSync(Schema.parseJson(Release))(text)
    const image = Object.keys(images).find((key) => images[key] === bare)
    if (image !== undefined) return join(folder, name, image)
  }
  return undefined
}

const openDriver = (options: HostOptions, tools: Tools.Tools, identity: Identity.Identity) =>
  ProcessDriver.make({
    stateFolder: join(options.folder, "pods"),
    executables: { "/nodejs/bin/node": process.execPath, k6: tools.k6 },
    image: (reference) =>
      Effect.promise(() => imageRoot(options.cache, reference)).pipe(
        Effect.filterOrFail(
          (root) => root !== undefined,
          () =>
            new ProcessDriver.ImageNotFound({
              image: reference,
              message: `${reference} was not built here. "deliver images COMMIT" builds a commit's images and prints their names.`
            })
        ),
        Effect.map((root) => ({ root }))
      ),
    identity: {
      sign: ({ serviceAccount, audience }) =>
        Effect.runPromise(
          identity.issuer.issue({ audience, subject: serviceAccount, email: `${serviceAccount}@rehearsal.localhost` })
        ),
      jwks: async () => identity.issuer.jwks
    }
  })

interface OpenTarget {
  readonly cluster: Cluster
  readonly platform: Platform.TargetPlatform
  /** What was applied, by kind and name: applied again when the host starts anew, as etcd would have kept it. */
  readonly applied: Map<string, KubeObject>
}

const keyOf = (object: KubeObject) => `${object.kind}/${object.metadata.name}`

const writeWhole = async (path: string, text: string) => {
  await writeFile(`${path}.new`, text, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

const bodyOf = async (stream: AsyncIterable<Buffer>): Promise<string> => {
  const chunks: Array<Buffer> = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.length
    if (size > BODY_LIMIT_BYTES) throw new Error(`A call may have ${BODY_LIMIT_BYTES} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

/** Runs until its server ends it, or nobody has called for `idleMs`. */
export const run = (options: HostOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { folder } = options
      const scope = yield* Effect.scope
      yield* Effect.promise(() => mkdir(join(folder, "targets"), { recursive: true, mode: 0o700 }))
      const tools = yield* Tools.locate(options.root)
      const subnet = yield* claimSubnet
      // Left by a host that was killed; its Postgres died with it.
      yield* Effect.promise(() => rm(join(folder, "postgres", "data", "postmaster.pid"), { force: true }))
      const server = yield* Postgres.start({
        dataDir: join(folder, "postgres", "data"),
        host: subnet.address(2),
        port: 5432,
        maxConnections: 400
      })
      const identity = yield* Identity.serve(subnet.address(3))
      const platform = yield* Platform.make(server)
      const driver = yield* openDriver(options, tools, identity)
      yield* Platform.database(server, DATABASE)
      const jobs = yield* JobTable.open(join(folder, "jobs"))

      const targets = new Map<string, OpenTarget>()
      const opening = yield* Effect.makeSemaphore(1)
      const file = (target: string) => join(folder, "targets", `${target}.json`)
      const save = (target: string, applied: OpenTarget["applied"]) =>
        Effect.promise(() => writeWhole(file(target), JSON.stringify([...applied.values()])))

      const openTarget = (target: string) =>
        Effect.gen(function* () {
          const open = targets.get(target)
          if (open !== undefined) return open
          const cluster = yield* driver.open(target)
          const own = yield* platform.target(target, {
            issuer: identity.issuer.issuer,
            audience: identity.audience,
            jwksUrl: identity.jwksUrl,
            gateCaller: Platform.GATE_CALLER
          })
          const shared = existsSync(join(options.root, "k8s", "platform"))
            ? yield* Platform.sharedObjects(options.root, tools.kustomize)
            : own.objects.filter((object) => object.kind === "Namespace")
          const base = [...shared, ...own.objects.filter((object) => object.kind !== "Namespace")]
          yield* cluster.apply(base)
          const text = yield* Effect.promise(() => readFile(file(target), "utf8").catch(() => "[]"))
          const applied = new Map((JSON.parse(text) as ReadonlyArray<KubeObject>).map((one) => [keyOf(one), one]))
          yield* cluster.apply([...applied.values()])
          const made: OpenTarget = { cluster, platform: own, applied }
          targets.set(target, made)
          return made
        }).pipe(opening.withPermits(1), Scope.extend(scope))

      for (const name of yield* Effect.promise(() => readdir(join(folder, "targets")))) {
        if (name.endsWith(".json")) yield* openTarget(name.slice(0, -".json".length))
      }

      const ended = yield* Deferred.make<void>()
      const handlers: { readonly [C in Call]: (input: Request<C>) => Effect.Effect<Response<C>, { message: string }> } =
        {
          open: ({ target }) =>
            openTarget(target).pipe(
              Effect.tap(({ applied }) => save(target, applied)),
              Effect.as({})
            ),
          apply: ({ target, objects }) =>
            Effect.gen(function* () {
              const { cluster, applied } = yield* openTarget(target)
              yield* cluster.apply(objects)
              for (const object of objects as ReadonlyArray<KubeObject>) applied.set(keyOf(object), object)
              yield* save(target, applied)
              return {}
            }),
          prune: ({ target, objects }) =>
            Effect.gen(function* () {
              const { cluster, applied } = yield* openTarget(target)
              const { removed } = yield* cluster.prune(objects)
              for (const key of removed) applied.delete(key)
              yield* save(target, applied)
              return { removed }
            }),
          awaitRollout: ({ target, objects, waitMs }) =>
            Effect.gen(function* () {
              const { cluster } = yield* openTarget(target)
              const result = yield* cluster
                .awaitRollout(objects, { deadlineMs: waitMs * 100 })
                .pipe(Effect.either, Effect.timeoutOption(waitMs))
              if (Option.isNone(result)) return { state: "pending" as const, log: [] }
              if (Either.isRight(result.value)) return { state: "succeeded" as const, log: [] }
              const { left } = result.value
              return { state: "failed" as const, log: [`${left.object}: ${left.message}`, ...left.log] }
            }),
          startJob: ({ target, key, job, timeoutMs, env }) =>
            openTarget(target).pipe(
              Effect.flatMap(({ cluster }) => jobs.start(key, cluster, job, { timeoutMs, env })),
              Effect.as({})
            ),
          awaitJob: ({ key, waitMs }) => Effect.map(jobs.outcome(key, waitMs), (outcome) => ({ outcome })),
          jobLog: ({ key, from }) => Effect.map(jobs.lines(key, from), (lines) => ({ lines })),
          stopJob: ({ key }) => Effect.as(jobs.stop(key), {}),
          pods: () =>
            Effect.forEach([...targets], ([target, { cluster }]) =>
              Effect.map(
                cluster.pods,
                (pods) => [target, pods.map((pod) => ({ ...pod, startedAt: pod.startedAt.toISOString() }))] as const
              )
            ).pipe(Effect.map(Object.fromEntries)),
          metrics: ({ owner }) =>
            Effect.forEach([...targets], ([target, { cluster, applied }]) =>
              Effect.map(Metrics.of(cluster, applied.get(owner)), (pods) => [target, pods] as const)
            ).pipe(Effect.map(Object.fromEntries)),
          service: ({ target, service, port }) =>
            Effect.flatMap(openTarget(target), ({ cluster }) => cluster.serviceAddress(service, port)),
          token: () => Effect.map(identity.token, (token) => ({ token })),
          query: ({ target, text }) =>
            Effect.gen(function* () {
              const { platform: own } = yield* openTarget(target)
              return { rows: yield* own.query<object>(text, "%") }
            }),
          alive: () => Effect.succeed({}),
          end: () => Effect.as(Deferred.succeed(ended, undefined), {})
        }

      const token = crypto.randomUUID()
      const runtime = yield* Effect.runtime()
      let heard = Date.now()
      const authorized = (given: string | undefined) => {
        const wanted = Buffer.from(`Bearer ${token}`)
        const bytes = Buffer.from(given ?? "")
        return bytes.length === wanted.length && timingSafeEqual(bytes, wanted)
      }
      const at = yield* LocalServer.serve(subnet.address(4), async (request, url) => {
        if (!authorized(request.headers.authorization)) return LocalServer.text(401, "The host's token is needed.")
        const call = url.pathname.slice(1)
        if (!Object.hasOwn(calls, call)) return LocalServer.text(404, `There is no call "${call}".`)
        heard = Date.now()
        const input = Schema.decodeUnknown(
          Schema.parseJson(calls[call as Call][0] as unknown as Schema.Schema.AnyNoContext)
        )(await bodyOf(request))
        const handle = handlers[call as Call] as (input: unknown) => Effect.Effect<unknown, { message: string }>
        const exit = await Runtime.runPromiseExit(runtime)(Effect.flatMap(input, handle))
        if (Exit.isSuccess(exit)) return { status: 200, body: exit.value }
        const failure = Option.getOrUndefined(
          exit.cause._tag === "Fail" ? Option.some(exit.cause.error.message) : Option.none()
        )
        return LocalServer.text(500, failure ?? exit.cause.toString())
      })

      const address = new HostAddress({
        pid: process.pid,
        url: `http://${at}`,
        token,
        databaseUrl: server.url(DATABASE)
      })
      yield* Effect.promise(() => writeWhole(join(folder, ADDRESS_FILE), JSON.stringify(address)))
      yield* Effect.addFinalizer(() => Effect.promise(() => rm(join(folder, ADDRESS_FILE), { force: true })))

      const idle = Effect.sync(() => Date.now() - heard > options.idleMs).pipe(
        Effect.delay("1 second"),
        Effect.repeat({ until: (long) => long })
      )
      yield* Effect.raceFirst(Deferred.await(ended), idle)
    })
  ).pipe(Effect.mapError((error) => new ToolFailed({ message: error.message })))
