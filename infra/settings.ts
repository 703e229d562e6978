/**
 * The configuration of a stack, read once and typed. Everything stands in the namespace `agents:` of `Pulumi.NAME.yaml`, which the
 * four projects share (`stackConfigDir`), so an environment is described in one file.
 *
 * Refuses what it doesn't know, before anything is created.
 */
import * as pulumi from "@pulumi/pulumi"
import { Either, ParseResult, Schema } from "effect"
import { nearest } from "../src/domain/Nearest.ts"
import * as names from "./names.ts"

const optional = Schema.optional
const withDefault = <A, I>(schema: Schema.Schema<A, I>, value: A) =>
  Schema.optionalWith(schema, { default: () => value })

const HostName = Schema.String.pipe(
  Schema.pattern(/^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/, {
    message: ({ actual }) => `"${actual}" is not a host name, such as api.example.com`
  })
)
const Url = Schema.String.pipe(
  Schema.pattern(/^https:\/\/[^\s]+$/, { message: ({ actual }) => `"${actual}" is not an https:// URL` })
)
/** As a browser sends it. Not `*`: a page of anybody could then call with its visitor's token. */
const Origin = Schema.String.pipe(
  Schema.filter((origin) => origin.startsWith("https://") && URL.parse(origin)?.origin === origin, {
    message: ({ actual }) => `"${actual}" is not an origin, such as https://app.example.com, without a path`
  })
)
const Email = Schema.String.pipe(
  Schema.pattern(/^[^@\s]+@[^@\s]+\.[a-z]+$/, { message: ({ actual }) => `"${actual}" is not an e-mail address` })
)
const Digest = Schema.String.pipe(
  Schema.pattern(/@sha256:[0-9a-f]{64}$/, {
    message: ({ actual }) => `"${actual}" does not name an image by digest (…@sha256:…)`
  })
)
/** Five fields. */
const Cron = Schema.String.pipe(
  Schema.pattern(/^(\S+ ){4}\S+$/, { message: ({ actual }) => `"${actual}" is not a schedule of five fields` })
)
/** `db-custom-CPUS-MEGABYTES`. */
const Tier = Schema.String.pipe(
  Schema.pattern(/^db-custom-\d+-\d+$/, {
    message: ({ actual }) => `"${actual}" is not a tier of Cloud SQL's Enterprise edition, such as db-custom-2-7680`
  })
)
const Count = Schema.Int.pipe(Schema.nonNegative())

export const EnvironmentSettings = Schema.Struct({
  /** Whether cluster and database refuse to be deleted. */
  protect: withDefault(Schema.Boolean, true),
  /** Whether the pipeline has a stage for it: `make infra-docs` writes one where it is missing. Without, its overlay is applied by hand. */
  delivered: withDefault(Schema.Boolean, true),
  database: Schema.Struct({
    tier: Tier,
    availability: Schema.Literal("REGIONAL", "ZONAL"),
    /** Daily backups that are kept. */
    backups: withDefault(Schema.Int.pipe(Schema.between(1, 365)), 14),
    /** How far back any second can be restored. */
    recoveryDays: withDefault(Schema.Int.pipe(Schema.between(1, 7)), 7),
    /** A copy in another region. */
    replica: withDefault(Schema.Boolean, false)
  }),
  /** Runners of their own for tenants of the tier `enterprise`: as many as the others. They count against the tier's connections. */
  enterprise: withDefault(Schema.Boolean, false),
  edge: Schema.Struct({
    /** The API, by Cloud Run. */
    apiHost: HostName,
    /** WebSockets, straight to the gateways on GKE. */
    socketHost: HostName,
    minInstances: Count,
    maxInstances: Count,
    /** The release that the edge runs. Not known before the first build: docs/first-deploy.md sets it. */
    image: optional(Digest)
  }),
  /** Who issues the users' tokens. */
  users: Schema.Struct({ issuer: Url, audience: Schema.NonEmptyString, jwksUrl: Url }),
  /** Pages that may call the API and open sockets from a browser: `https://app.example.com`. Without any, none of another origin. */
  origins: withDefault(Schema.Array(Origin), []),
  /** The people who operate it: a Google group. */
  operators: Email,
  /** Where alerts go. */
  alerts: Email,
  /** Drills that need Google Cloud, by name, with when they run (UTC). */
  drills: withDefault(Schema.Record({ key: Schema.String, value: Cron }), {}),
  /** Google's table of costs, once its export was switched on: docs/first-deploy.md. */
  billingTable: optional(Schema.String.pipe(Schema.pattern(/^gcp_billing_export_(resource_)?v1(_[0-9A-F]{6}){3}$/))),
  /** USD a month at which a warning is sent. */
  monthlyBudget: Count
}).pipe(
  Schema.filter(({ edge }) =>
    edge.minInstances <= edge.maxInstances
      ? undefined
      : `edge.minInstances ${edge.minInstances} is above edge.maxInstances ${edge.maxInstances}`
  )
)
export type EnvironmentSettings = typeof EnvironmentSettings.Type

export const SharedSettings = Schema.Struct({
  protect: withDefault(Schema.Boolean, true),
  /** The repository as Cloud Build knows it: its connection is made once by hand, since GitHub asks a person. */
  repository: Schema.Struct({ connection: Schema.NonEmptyString, name: Schema.NonEmptyString }),
  /** `XXXXXX-XXXXXX-XXXXXX`, of the account that pays for all projects. */
  billingAccount: optional(Schema.String.pipe(Schema.pattern(/^[0-9A-F]{6}(-[0-9A-F]{6}){2}$/))),
  /** Public half of the attestor's key, PEM: read after the first deployment of `delivery/shared` (docs/first-deploy.md). */
  attestorKey: optional(
    Schema.String.pipe(
      Schema.pattern(/^-----BEGIN PUBLIC KEY-----\n[\w+/=\n]+-----END PUBLIC KEY-----\n?$/, {
        message: () => "is not a public key in PEM"
      })
    )
  ),
  operators: Email,
  alerts: Email
})
export type SharedSettings = typeof SharedSettings.Type

/** Objects, numbers and booleans of a stack's file arrive as JSON, strings as they are. */
const parsed = (value: string): unknown => {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

/** Reads what stands under `agents:`. Fails with one message that lists all that is wrong. */
export const readSettings = <A, I>(
  schema: Schema.Schema<A, I>,
  stack: string,
  config: Readonly<Record<string, string>> = pulumi.runtime.allConfig()
): A => {
  const values = Object.entries(config).flatMap(([key, value]) =>
    key.startsWith("agents:") ? [[key.slice("agents:".length), parsed(value)] as const] : []
  )
  const decoded = Schema.decodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })(
    Object.fromEntries(values)
  )
  if (Either.isRight(decoded)) return decoded.right
  const known = [
    "protect",
    "delivered",
    "database",
    "enterprise",
    "edge",
    "users",
    "origins",
    "operators",
    "alerts",
    "drills",
    "monthlyBudget",
    "billingTable"
  ]
  const problems = ParseResult.ArrayFormatter.formatErrorSync(decoded.left).map(({ path, message }) => {
    const key = path.map(String).join(".")
    const near = /unexpected/.test(message)
      ? nearest(key, [...known, "repository", "billingAccount", "attestorKey"])
      : undefined
    const what = message.replace(/^is unexpected.*$/, "is no setting")
    return `  agents:${key} ${what}${near === undefined ? "" : `. Did you mean ${near}?`}`
  })
  throw new pulumi.RunError(
    `Pulumi.${stack}.yaml can't be used:\n${problems.join("\n")}\ninfra/settings.ts says what each setting means.`
  )
}

export const readEnvironment = (stack: string, config?: Readonly<Record<string, string>>): EnvironmentSettings => {
  if (!names.environments.includes(stack)) {
    throw new pulumi.RunError(
      `The stack "${stack}" is none of ${names.environments.join(", ")}. Choose one with "pulumi stack select dev"; a new environment begins with its file infra/Pulumi.${stack}.yaml.`
    )
  }
  return readSettings(EnvironmentSettings, stack, config)
}
