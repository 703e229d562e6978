/** `deliver serve`: finds or starts the host, then answers as Cloud Deploy until it is ended. */
import { existsSync } from "node:fs"
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Deferred, Effect, Layer, Redacted, Schema } from "effect"
import { PreconditionMissing, ToolFailed } from "../Errors.ts"
import * as Durable from "../engine/Durable.ts"
import * as Source from "../engine/Source.ts"
import * as HostClient from "../host/HostClient.ts"
import * as Lock from "../Lock.ts"
import { person } from "../Person.ts"
import * as Remote from "../push/Remote.ts"
import * as Tools from "../Tools.ts"
import * as AuditLog from "./AuditLog.ts"
import * as HttpServer from "./HttpServer.ts"

/** What `serve --env` and a git hook need to reach the server. Readable by the user alone. */
export class ServerAddress extends Schema.Class<ServerAddress>("ServerAddress")({
  url: Schema.String,
  token: Schema.NullOr(Schema.String),
  /** Opened once in a browser, it lets that browser into the console. */
  console: Schema.String,
  /** The path to push to. */
  remote: Schema.String,
  pid: Schema.Int
}) {}

export interface ServeOptions {
  /** The repository. */
  readonly root: string
  /** Where built images lie, `.rehearsal` as a rule. */
  readonly cache: string
  readonly port: number
  readonly token: boolean
  readonly clockScale: number
  /** The program of the host process. */
  readonly hostEntry: string
  /** The program that judges a push. */
  readonly pushEntry: string
}

export const folderOf = (cache: string) => join(cache, "serve")

const writeWhole = (path: string, text: string) =>
  Effect.promise(async () => {
    await writeFile(`${path}.new`, text, { mode: 0o600 })
    await rename(`${path}.new`, path)
  })

/** Kept across restarts, so that a shell with the exported lines goes on working. */
const tokenOf = (folder: string, name: string) =>
  Effect.gen(function* () {
    const file = join(folder, name)
    if (!existsSync(file)) yield* writeWhole(file, `${crypto.randomUUID()}\n`)
    return (yield* Effect.promise(() => readFile(file, "utf8"))).trim()
  })

/** Serves until interrupted. `ready` is called with the address once requests are answered. */
export const serve = (options: ServeOptions, ready: (address: ServerAddress) => Effect.Effect<void>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const folder = folderOf(options.cache)
      yield* Effect.promise(() => mkdir(folder, { recursive: true, mode: 0o700 }))
      yield* Lock.acquire(folder)
      const tools = yield* Tools.locate(options.root)
      const remote = yield* Remote.ensure({ ...options, folder, entry: options.pushEntry })
      const host = yield* HostClient.ensure({
        folder: join(folder, "host"),
        entry: options.hostEntry,
        args: [options.root, options.cache]
      })
      const sources = Source.make(join(folder, "sources"), tools.kustomize)
      const token = options.token ? yield* tokenOf(folder, "token") : undefined
      const consoleToken = yield* tokenOf(folder, "console-token")
      const hookToken = yield* tokenOf(folder, "hook-token")
      const hookEnvironment = yield* Deferred.make<Readonly<Record<string, string>>>()

      const program = Effect.gen(function* () {
        const port = yield* HttpServer.serve({
          port: options.port,
          token,
          consoleToken,
          hookToken,
          // Whoever has the token: its file is readable by this user alone.
          principal: options.token ? person() : undefined,
          host,
          sources,
          objectFolder: join(folder, "objects"),
          clockScale: options.clockScale
        })
        const url = `http://127.0.0.1:${port}`
        yield* Deferred.succeed(hookEnvironment, AuditLog.hookEnvironment(url, hookToken))
        const address = new ServerAddress({
          url,
          token: token ?? null,
          console: `http://127.0.0.1:${port}/console/login?token=${consoleToken}`,
          remote,
          pid: process.pid
        })
        const file = join(folder, "server.json")
        yield* writeWhole(file, JSON.stringify(address))
        yield* Effect.addFinalizer(() => Effect.promise(() => rm(file, { force: true })))
        yield* ready(address)
        // The host ends when nobody speaks to it; a server without a host has nothing to serve.
        return yield* host.call("alive", {}).pipe(Effect.retry({ times: 3 }), Effect.delay("5 seconds"), Effect.forever)
      })
      return yield* program.pipe(
        Effect.scoped,
        Effect.provide(
          Durable.layer({
            host,
            sources,
            clockScale: options.clockScale,
            hookEnvironment: Deferred.await(hookEnvironment)
          }).pipe(
            Layer.provide(
              PgClient.layer({
                url: Redacted.make(host.address.databaseUrl),
                maxConnections: 10,
                applicationName: "rehearsal-server"
              })
            )
          )
        ),
        Effect.mapError((error) => new ToolFailed({ message: String((error as Error).message ?? error) }))
      )
    })
  )

/** The address of the server that runs. */
export const address = (cache: string) =>
  Effect.tryPromise(() => readFile(join(folderOf(cache), "server.json"), "utf8")).pipe(
    Effect.flatMap(Schema.decodeUnknown(Schema.parseJson(ServerAddress))),
    Effect.mapError(
      () =>
        new PreconditionMissing({
          message: 'No server runs in this clone. Start one with "deliver serve" in another terminal.'
        })
    )
  )

/** Ends the host that a server left behind, with all pods and the database's process; the state stays. */
export const down = (cache: string) =>
  HostClient.find(join(folderOf(cache), "host")).pipe(
    Effect.flatMap((host) =>
      host === undefined ? Effect.succeed(false) : host.call("end", {}).pipe(Effect.ignore, Effect.as(true))
    )
  )

/** The shell lines that point an unmodified gcloud at the server. */
export const environment = (at: ServerAddress, folder: string): ReadonlyArray<string> => {
  const lines: Record<string, string> = {
    CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDDEPLOY: `${at.url}/`,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${at.url}/storage/v1/`,
    CLOUDSDK_CORE_PROJECT: "rehearsal",
    CLOUDSDK_DEPLOY_REGION: "us-central1",
    CLOUDSDK_CONFIG: join(folder, "gcloud"),
    CLOUDSDK_CORE_DISABLE_PROMPTS: "1",
    CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: "1",
    CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: "1",
    ...(at.token === null
      ? { CLOUDSDK_AUTH_DISABLE_CREDENTIALS: "1" }
      : { CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: join(folder, "token") })
  }
  return Object.entries(lines).map(([key, value]) => `export ${key}='${value.replaceAll("'", "'\\''")}'`)
}
