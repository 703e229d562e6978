/**
 * What Pulumi makes on Google Cloud before any release arrives, on a laptop: one database per target with its four roles,
 * and the Secrets and the ConfigMap that the manifests refer to but never hold.
 */
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import pg from "pg"
import type { Query } from "../drills/Invariants.ts"
import type { KubeObject } from "./drivers/Driver.ts"
import { ToolFailed } from "./Errors.ts"
import { exec } from "./Exec.ts"
import { parseObjects } from "./release/Render.ts"

/** The roles of SYSTEM C1. Migrations grant to them; nobody but the platform makes them. */
export const ROLES = ["migrator", "runtime", "reader", "drill"] as const
export type Role = (typeof ROLES)[number]

export const NAMESPACE = "agents"

/** As Pulumi names it: the gates' own account, where a driver has an identity for each account. */
export const GATE_CALLER = "agent-gate@rehearsal.localhost"

export interface IdentityProvider {
  readonly issuer: string
  readonly audience: string
  readonly jwksUrl: string
  /** Where pods find Google's metadata server, unless their driver tells them. */
  readonly metadataHost?: string
  /** Whose tokens the gates may show. */
  readonly gateCaller: string
}

export interface Server {
  /** Where pods reach it. */
  readonly host: string
  readonly port: number
  /** A URL of the superuser for the given database, from here. */
  readonly url: (database: string) => string
}

export interface TargetPlatform {
  readonly database: string
  /** Applied to the target's cluster before its first release. */
  readonly objects: ReadonlyArray<KubeObject>
  /** One question, for what the rehearsal confirms by SQL. It sees all and, in a transaction that only reads, changes nothing. */
  readonly query: Query<ToolFailed>
}

export interface Platform {
  readonly target: (
    target: string,
    identity: IdentityProvider
  ) => Effect.Effect<TargetPlatform, ToolFailed, Scope.Scope>
}

const sqlFailed = (what: string) => (cause: unknown) =>
  new ToolFailed({ message: `${what}: ${cause instanceof Error ? cause.message : String(cause)}` })

const secret = (name: string, stringData: Readonly<Record<string, string>>): KubeObject => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name, namespace: NAMESPACE },
  type: "Opaque",
  stringData
})

/** Makes the roles of the server, or gives those that are there a password of this run. */
export const make = (server: Server): Effect.Effect<Platform, ToolFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const passwords = Object.fromEntries(ROLES.map((role) => [role, crypto.randomUUID()])) as Record<Role, string>
    const admin = yield* poolOf(server.url("postgres"))
    yield* Effect.tryPromise({
      try: async () => {
        const there = (await admin.query<{ rolname: string }>("select rolname from pg_roles")).rows.map(
          (row) => row.rolname
        )
        for (const role of ROLES) {
          await admin.query(
            `${there.includes(role) ? "alter" : "create"} role ${role} login password '${passwords[role]}'`
          )
        }
        // Lets the migration gate try every statement with the rights of the runners.
        await admin.query("grant runtime to migrator")
      },
      catch: sqlFailed("Making the database roles failed")
    })
    return {
      target: (target, identity) =>
        Effect.gen(function* () {
          const database = `effect_cluster_${target.replaceAll("-", "_")}`
          // Where the migrate hook tries migrations before it applies them.
          const scratch = `${database}_scratch`
          yield* Effect.tryPromise({
            try: async () => {
              for (const each of [database, scratch]) {
                const { rowCount } = await admin.query("select from pg_database where datname = $1", [each])
                if (rowCount === 0) await admin.query(`create database ${each} owner migrator`)
              }
            },
            catch: sqlFailed(`Making the database of ${target} failed`)
          })
          const pool = yield* poolOf(server.url(database))
          return {
            database,
            objects: [
              { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
              ...ROLES.map((role) =>
                secret(`agent-database-${role}`, {
                  host: server.host,
                  port: String(server.port),
                  database,
                  username: role,
                  password: passwords[role],
                  ...(role === "migrator" ? { "scratch-database": scratch } : {})
                })
              ),
              {
                apiVersion: "v1",
                kind: "ConfigMap",
                metadata: { name: "agent-platform", namespace: NAMESPACE },
                data: {
                  IDENTITY_ISSUER: identity.issuer,
                  IDENTITY_AUDIENCE: identity.audience,
                  IDENTITY_JWKS_URL: identity.jwksUrl,
                  GATE_CALLERS: identity.gateCaller,
                  ...(identity.metadataHost === undefined ? {} : { GCE_METADATA_HOST: identity.metadataHost })
                }
              }
            ],
            query: <Row extends object>(text: string, pattern: string) =>
              Effect.tryPromise({
                try: () => readOnly<Row>(pool, text, pattern),
                catch: sqlFailed(`Asking the database of ${target} failed`)
              })
          }
        })
    }
  })

/** With a parameter the text goes as one prepared statement: there is no second one in it that could leave the transaction. */
const readOnly = async <Row extends object>(pool: pg.Pool, text: string, pattern: string) => {
  const client = await pool.connect()
  try {
    await client.query("begin transaction read only")
    const { rows } = await client.query<Row>(text, [pattern])
    await client.query("commit")
    client.release()
    return rows as ReadonlyArray<Row>
  } catch (cause) {
    // Its transaction is broken, and its connection may be.
    client.release(true)
    throw cause
  }
}

/** Makes a database of the superuser's own, unless it is there. */
export const database = (server: Server, name: string): Effect.Effect<void, ToolFailed> =>
  Effect.scoped(
    Effect.gen(function* () {
      const admin = yield* poolOf(server.url("postgres"))
      yield* Effect.tryPromise({
        try: async () => {
          const { rowCount } = await admin.query("select from pg_database where datname = $1", [name])
          if (rowCount === 0) await admin.query(`create database ${name}`)
        },
        catch: sqlFailed(`Making the database ${name} failed`)
      })
    })
  )

/** The objects that Pulumi applies once per environment: namespace, accounts and rights. */
export const sharedObjects = (
  source: string,
  kustomize: string
): Effect.Effect<ReadonlyArray<KubeObject>, ToolFailed> =>
  exec(kustomize, ["build", join(source, "k8s", "platform")]).pipe(
    Effect.flatMap((text) => parseObjects(text, "kustomize build k8s/platform"))
  )

const poolOf = (connectionString: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const pool = new pg.Pool({ connectionString, max: 2 })
      // The server may go first when everything is being ended.
      pool.on("error", () => {})
      return pool
    }),
    (pool) => Effect.promise(() => pool.end())
  )
