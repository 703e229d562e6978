/**
 * Runs the services of a compose file as processes on loopback addresses of their own, as the rehearsal runs pods: the names of
 * services resolve (`podnet.mjs`), and a server that listens everywhere listens on its service's address.
 *
 * What stands for an image: `postgres:16` the embedded server, `agents` what `tools/build.ts` makes (as in the Dockerfile), its
 * stage `build` this work tree. Nothing is kept: the database goes when the stack ends.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Data, Deferred, Effect, Schedule, type Scope } from "effect"
import pg from "pg"
import { type Command, type ContainerProcess, run } from "../../src/rehearsal/drivers/processes/ContainerProcess.ts"
import { type Janitor, start as startJanitor } from "../../src/rehearsal/drivers/processes/Janitor.ts"
import { exec } from "../../src/rehearsal/Exec.ts"
import { claimSubnet } from "../../src/rehearsal/net/Loopback.ts"
import * as EmbeddedPostgres from "../../src/rehearsal/postgres/EmbeddedPostgres.ts"
import { type Compose, inOrder, type Service } from "./Compose.ts"

export class StackFailed extends Data.TaggedError("StackFailed")<{ readonly message: string }> {}

const root = fileURLToPath(new URL("../../", import.meta.url))
const preload = new URL("../../src/rehearsal/drivers/processes/podnet.mjs", import.meta.url).href

/** The last number of the first service's address. */
const FIRST_ADDRESS = 10
const LINES_KEPT = 30

export interface Stack {
  readonly address: (service: string) => string
  /** Fails when a service has ended that should run on. */
  readonly watch: Effect.Effect<never, StackFailed>
}

interface World {
  readonly compose: Compose
  readonly folder: string
  /** What `tools/build.ts` made. */
  readonly image: string
  readonly hosts: string
  readonly address: (service: string) => string
  readonly janitor: Janitor
  readonly log: (service: string, line: string) => void
  readonly ended: Deferred.Deferred<never, StackFailed>
}

/** Starts all of them, each when those that it waits for are there; they end, last first, when the scope closes. */
export const start = (
  compose: Compose,
  folder: string,
  log: World["log"]
): Effect.Effect<Stack, StackFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const subnet = yield* claimSubnet
    const names = Object.keys(compose.services)
    const world: World = {
      compose,
      folder,
      image: join(folder, "app"),
      hosts: join(folder, "hosts"),
      address: (name) => subnet.address(FIRST_ADDRESS + names.indexOf(name)),
      janitor: yield* startJanitor,
      log,
      ended: yield* Deferred.make<never, StackFailed>()
    }
    yield* write(world.hosts, names.map((name) => `${world.address(name)} ${name}\n`).join(""))
    log("build", "makes what the image holds")
    yield* exec(process.execPath, [join(root, "tools", "build.ts"), "--out", world.image, "--commit", "stack"])
    // One after the other: stricter than the file asks, and the order in which they can be ended.
    for (const name of inOrder(compose)) {
      const service = compose.services[name]!
      yield* service.image?.startsWith("postgres:") === true
        ? startPostgres(world, name, service)
        : startProcess(world, name, service)
    }
    return { address: world.address, watch: Deferred.await(world.ended) }
  }).pipe(Effect.mapError(({ message }) => new StackFailed({ message })))

const write = (path: string, content: string) =>
  Effect.promise(async () => {
    await mkdir(dirname(path), { recursive: true })
    // Some of them are passwords.
    await writeFile(path, content, { mode: 0o600 })
  })

/** Only its files for the first start are carried out; the superuser's password is one of this run. */
const startPostgres = ({ compose, folder, address, log }: World, name: string, service: Service) =>
  Effect.gen(function* () {
    const server = yield* EmbeddedPostgres.start({
      dataDir: join(folder, name, "data"),
      host: address(name),
      port: 5432
    })
    for (const { source } of service.configs) {
      yield* Effect.tryPromise({
        try: async () => {
          const client = new pg.Client({ connectionString: server.url("postgres") })
          await client.connect()
          try {
            // One at a time, as psql has it: a database is made in no transaction.
            for (const statement of compose.configs[source]!.content.split(/;\s*$/m)) {
              if (statement.trim() !== "") await client.query(statement)
            }
          } finally {
            await client.end()
          }
        },
        catch: (cause) => new StackFailed({ message: `The config ${source} failed on ${name}: ${String(cause)}` })
      })
    }
    log(name, `listens on ${server.host}:${server.port}`)
  })

/** The service's program, with its files in a folder of its own. */
const commandOf = ({ compose, folder, image, hosts, address }: World, name: string, service: Service) =>
  Effect.gen(function* () {
    const [program, ...args] = [...(service.entrypoint ?? []), ...(service.command ?? [])]
    if (program === undefined || !/(^|\/)node$/.test(program)) {
      return yield* new StackFailed({
        message: `${name} starts ${program ?? "nothing"}: only Node programs are known.`
      })
    }
    const files = join(folder, name)
    for (const { source, target } of service.configs)
      yield* write(join(files, target), compose.configs[source]!.content)
    const mounted = (value: string) => service.configs.some(({ target }) => target.startsWith(`${value}/`))
    const command: Command = {
      executable: process.execPath,
      args: args.map((arg) => (arg.startsWith("/app/") ? join(image, arg.slice("/app/".length)) : arg)),
      cwd: service.build?.target === undefined ? image : root,
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: files,
        PODNET_ADDRESS: address(name),
        PODNET_HOSTS: hosts,
        ...Object.fromEntries(
          Object.entries(service.environment).map(([key, value]) => [
            key,
            value.startsWith("/") && mounted(value) ? join(files, value) : value
          ])
        ),
        // Beside the service's own: without the preload its process finds no other by name.
        NODE_OPTIONS: `${service.environment["NODE_OPTIONS"] ?? ""} --import=${preload}`.trim()
      }
    }
    return command
  })

const startProcess = (world: World, name: string, service: Service) =>
  Effect.gen(function* () {
    const command = yield* commandOf(world, name, service)
    const lines: Array<string> = []
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        run(command, world.janitor, (line) => {
          lines.push(line)
          if (lines.length > LINES_KEPT) lines.shift()
          world.log(name, line)
        })
      ),
      (running) => stop(running, service.stop_grace_period)
    )
    const failed = (exitCode: number) =>
      new StackFailed({ message: [`${name} ended with ${exitCode}. The last of what it said:`, ...lines].join("\n") })
    const runsOnce = Object.values(world.compose.services).some(
      ({ depends_on }) => depends_on[name]?.condition === "service_completed_successfully"
    )
    if (runsOnce) {
      const { exitCode } = yield* child.exited
      if (exitCode !== 0) yield* failed(exitCode)
      return
    }
    yield* Effect.forkScoped(
      Effect.flatMap(child.exited, ({ exitCode }) => Deferred.fail(world.ended, failed(exitCode)))
    )
    if (service.healthcheck === undefined) return
    yield* Effect.raceFirst(healthy(name, service.healthcheck, command), Deferred.await(world.ended))
    world.log(name, "is healthy")
  })

/** Asks as the file says, but more often: what it allows is the time. `127.0.0.1` is the container's own. */
const healthy = (name: string, check: NonNullable<Service["healthcheck"]>, { env }: Command) =>
  exec(
    process.execPath,
    check.test.slice(2).map((arg) => arg.replaceAll("127.0.0.1", env["PODNET_ADDRESS"]!))
  ).pipe(
    Effect.retry(Schedule.spaced("200 millis").pipe(Schedule.upTo(`${check.interval * check.retries} seconds`))),
    Effect.mapError(
      ({ message }) =>
        new StackFailed({
          message: `${name} was not healthy within ${check.interval * check.retries} s: ${message}`
        })
    )
  )

const stop = (child: ContainerProcess, graceSeconds: number) =>
  Effect.sync(child.terminate).pipe(
    Effect.andThen(child.exited),
    Effect.timeoutOption(`${graceSeconds} seconds`),
    Effect.andThen(Effect.sync(child.kill)),
    Effect.andThen(child.exited),
    Effect.asVoid
  )
