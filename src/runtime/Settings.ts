/**
 * What a process is told by its environment. Everything is read and checked before anything starts, and everything that
 * is wrong is said at once: a pod that fails its start five times for five variables costs five rollouts.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Data, Either, Redacted } from "effect"
import { PORT as CARRY_PORT } from "../domain/CarryQuestion.ts"
import type { KubernetesAccess } from "./KubernetesAccess.ts"
import { type ModelSettings, readModels } from "./ModelSettings.ts"

export type Env = Readonly<Record<string, string | undefined>>

/** The process must end with `ExitCode.preconditionMissing` and this message. */
export class SettingsRefused extends Data.TaggedError("SettingsRefused")<{ readonly problems: ReadonlyArray<string> }> {
  override get message(): string {
    return (
      `The configuration of this process is not usable, so it does not start:\n${this.problems.map((problem) => `  - ${problem}`).join("\n")}\n` +
      "The values come from the container's env and its mounted Secret; correct them there."
    )
  }
}

export interface DatabaseSettings {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly username: string
  /** Read again for each new connection, so that a rotated password needs no restart. */
  readonly password: () => Redacted.Redacted
  readonly tls: boolean
}

export interface RunnerSettings {
  /** The pod's name: the owner that run views and `agents.runners` show. */
  readonly name: string
  /** How other runners and gateways reach this one. */
  readonly runner: { readonly host: string; readonly port: number }
  /** The address that its sockets are bound to: a pod cannot bind its DNS name before that resolves. */
  readonly listenHost: string
  readonly httpPort: number
  readonly shardsPerGroup: number
  readonly shardGroups: ReadonlyArray<string>
  /** Of these groups the runner takes shards; the others' it leaves to other pools of runners. */
  readonly assignedShardGroups: ReadonlyArray<string>
  readonly poolMax: number
  /** How the cluster's messages are stored: the same tables, so processes of one ring may differ in it. */
  readonly messageStorage: "stock" | "group"
  /** Whether steps are recorded in the journal or as messages: see `Engine`. */
  readonly stepEngine: "auto" | "stock" | "journal"
  readonly logLevel: LogLevelName
  readonly database: DatabaseSettings
  readonly models: ModelSettings
  /** Who may ask this runner what it could carry, and how their tokens are verified. Undefined: nobody, and no port is open. */
  readonly asked: AskedSettings | undefined
  /** Whether runners alone are asked for their health, or Kubernetes first. */
  readonly runnerHealth: "ping" | KubernetesAccess
}

export interface AskedSettings {
  readonly port: number
  readonly callers: ReadonlyArray<string>
  readonly issuer: string
  readonly jwksUrl: string
}

export const logLevels = ["Trace", "Debug", "Info", "Warning", "Error"] as const
export type LogLevelName = (typeof logLevels)[number]

/** Takes values out of an environment and collects what is wrong with them. */
export class Reader {
  readonly problems: Array<string> = []
  readonly #env: Env

  constructor(env: Env) {
    this.#env = env
  }

  text(name: string, fallback?: string): string {
    const value = this.#env[name]?.trim()
    if (value !== undefined && value !== "") return value
    if (fallback !== undefined) return fallback
    this.problems.push(`${name} is not set`)
    return ""
  }

  integer(name: string, range: readonly [min: number, max: number], fallback?: number): number {
    const value = this.text(name, fallback?.toString())
    if (value === "") return range[0]
    const number = Number(value)
    if (/^\d+$/.test(value) && number >= range[0] && number <= range[1]) return number
    this.problems.push(`${name} is "${value}"; it must be a whole number from ${range[0]} to ${range[1]}`)
    return range[0]
  }

  choice<const Choice extends string>(name: string, choices: ReadonlyArray<Choice>, fallback: Choice): Choice {
    const value = this.text(name, fallback)
    const found = choices.find((choice) => choice.toLowerCase() === value.toLowerCase())
    if (found !== undefined) return found
    this.problems.push(`${name} is "${value}"; it must be one of ${choices.join(", ")}`)
    return fallback
  }

  list(name: string, fallback: string): ReadonlyArray<string> {
    const items = this.text(name, fallback)
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "")
    if (new Set(items).size !== items.length) this.problems.push(`${name} names the same thing twice`)
    return items
  }

  /** The mounted Secret: a folder of files, one a value. */
  database(): DatabaseSettings {
    const folder = this.text("DATABASE_SECRET_DIR")
    const values = { host: "", port: "5432", database: "", username: "", password: "", sslmode: "disable" }
    if (folder !== "" && !existsSync(folder)) {
      this.problems.push(`DATABASE_SECRET_DIR is ${folder}, which does not exist: is the Secret mounted?`)
    } else if (folder !== "") {
      for (const key of Object.keys(values) as Array<keyof typeof values>) {
        const file = join(folder, key)
        const optional = key === "port" || key === "sslmode"
        if (!existsSync(file)) {
          if (!optional) this.problems.push(`${file} is missing: the Secret has no key "${key}"`)
          continue
        }
        values[key] = readFileSync(file, "utf8").trim()
        if (values[key] === "") this.problems.push(`${file} is empty`)
      }
      if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65_535) {
        this.problems.push(`${join(folder, "port")} holds no port number`)
      }
      if (!["disable", "require", "no-verify"].includes(values.sslmode)) {
        this.problems.push(`${join(folder, "sslmode")} must be disable, require or no-verify`)
      }
    }
    return {
      host: values.host,
      port: Number(values.port),
      database: values.database,
      username: values.username,
      password: () => Redacted.make(readFileSync(join(folder, "password"), "utf8").trim()),
      tls: values.sslmode !== "disable"
    }
  }

  result<A>(value: A): Either.Either<A, SettingsRefused> {
    return this.problems.length === 0
      ? Either.right(value)
      : Either.left(new SettingsRefused({ problems: this.problems }))
  }
}

const PORTS = [1, 65_535] as const

/** Where executions live. Part of a release's surface: see `ClusterSettings` for why it may never differ between releases. */
export const readSharding = (reader: Reader) => ({
  shardsPerGroup: reader.integer("SHARDS_PER_GROUP", [1, 10_000], 300),
  shardGroups: reader.list("SHARD_GROUPS", "default,enterprise")
})

/** All of them where nothing is said: then no group is without a runner. */
const readAssigned = (reader: Reader, shardGroups: ReadonlyArray<string>): ReadonlyArray<string> => {
  const assigned = reader.list("ASSIGNED_SHARD_GROUPS", shardGroups.join(","))
  for (const group of assigned) {
    if (!shardGroups.includes(group)) {
      reader.problems.push(
        `ASSIGNED_SHARD_GROUPS names ${group}, which is not among SHARD_GROUPS (${shardGroups.join(", ")}): nothing is ever sent there`
      )
    }
  }
  return assigned
}

const TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"

/** `ping` asks runners alone; `kubernetes` asks it first (`PodHealth`). */
export const readRunnerHealth = (reader: Reader): RunnerSettings["runnerHealth"] => {
  if (reader.choice("RUNNER_HEALTH", ["ping", "kubernetes"], "ping") === "ping") return "ping"
  const host = reader.text("KUBERNETES_SERVICE_HOST", "")
  const inCluster = host === "" ? undefined : `https://${host}:${reader.text("KUBERNETES_SERVICE_PORT", "443")}`
  return {
    // Kubernetes sets the host in every pod; NODE_EXTRA_CA_CERTS must name its certificate.
    url: reader.text("KUBERNETES_API_URL", inCluster),
    namespace: reader.text("POD_NAMESPACE", "agents"),
    tokenFile: reader.text("KUBERNETES_TOKEN_FILE", TOKEN_FILE)
  }
}

/** Everything that a runner and a gateway both need to be part of the cluster. */
export const readCluster = (reader: Reader) => ({
  ...readSharding(reader),
  messageStorage: reader.choice("MESSAGE_STORAGE", ["stock", "group"], "group"),
  poolMax: reader.integer("DATABASE_POOL_MAX", [4, 100], 10),
  logLevel: reader.choice("LOG_LEVEL", logLevels, "Info"),
  database: reader.database()
})

const readAsked = (reader: Reader): AskedSettings | undefined => {
  const callers = reader.list("GATE_CALLERS", "")
  if (callers.length === 0) return undefined
  const jwksUrl = reader.text("IDENTITY_JWKS_URL")
  if (jwksUrl !== "" && !/^https?:$/.test(URL.parse(jwksUrl)?.protocol ?? "")) {
    reader.problems.push(`IDENTITY_JWKS_URL is "${jwksUrl}"; it must be an http(s) URL`)
  }
  return {
    port: reader.integer("ASK_PORT", PORTS, CARRY_PORT),
    callers,
    issuer: reader.text("IDENTITY_ISSUER"),
    jwksUrl
  }
}

export const readRunner = (env: Env): Either.Either<RunnerSettings, SettingsRefused> => {
  const reader = new Reader(env)
  const host = reader.text("RUNNER_HOST")
  const cluster = readCluster(reader)
  return reader.result({
    name: reader.text("POD_NAME", host),
    runner: { host, port: reader.integer("RUNNER_PORT", PORTS, 50_000) },
    listenHost: reader.text("LISTEN_HOST", host),
    httpPort: reader.integer("HTTP_PORT", PORTS, 8080),
    stepEngine: reader.choice("STEP_ENGINE", ["auto", "stock", "journal"], "auto"),
    models: readModels(reader),
    asked: readAsked(reader),
    runnerHealth: readRunnerHealth(reader),
    ...cluster,
    assignedShardGroups: readAssigned(reader, cluster.shardGroups)
  })
}

/** From a URL, for commands and tests: `postgres://user:password@host:port/database`. */
export const databaseFromUrl = (url: string): DatabaseSettings => {
  const { hostname, port, pathname, username, password, searchParams } = new URL(url)
  const secret = Redacted.make(decodeURIComponent(password))
  return {
    host: hostname,
    port: port === "" ? 5432 : Number(port),
    database: decodeURIComponent(pathname.slice(1)),
    username: decodeURIComponent(username),
    password: () => secret,
    tls: (searchParams.get("sslmode") ?? "disable") !== "disable"
  }
}
