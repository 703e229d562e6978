/**
 * The database a gate judges: where it is, how it is reached, and what is said when it is not.
 *
 * Gates need both a `SqlClient` (for the registry's statements) and a connection of their own (session locks, transactions
 * that another library drives). Both come from one small pool.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Reactivity } from "@effect/experimental"
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { Context, Data, Effect, Layer, type Scope, type Stream } from "effect"
import pg from "pg"
import { ExitCode } from "../domain/ExitCode.ts"
import * as CopyOut from "./CopyOut.ts"

/** The database can't be used. The message is for a person and holds no secret. */
export class DatabaseUnavailable extends Data.TaggedError("DatabaseUnavailable")<{
  readonly exitCode: ExitCode
  readonly message: string
}> {}

/** A statement that Postgres refused, or a connection that broke under it. */
export class StatementFailed extends Data.TaggedError("StatementFailed")<{
  /** SQLSTATE, or Node's code (`ECONNRESET`), or empty. */
  readonly code: string
  readonly message: string
  readonly detail: string | undefined
}> {}

export interface Settings {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: string
  /** As in libpq. `require` encrypts without checking who answers; `verify-full` checks. */
  readonly sslmode: "disable" | "require" | "verify-full"
}

/** Where statements of a release find their tables, as in the runtime. The library's own statements name no schema. */
export const searchPath = "cluster, agents"

const unavailable = (exitCode: ExitCode, message: string) => new DatabaseUnavailable({ exitCode, message })

const sslmodeOf = (value: string | undefined): Settings["sslmode"] | undefined =>
  value === undefined || value === "" || value === "disable" || value === "prefer"
    ? "disable"
    : value === "require" || value === "verify-full"
      ? value
      : undefined

/** Reads `postgres://user:password@host:port/database?sslmode=require`. */
export const fromUrl = (text: string): Effect.Effect<Settings, DatabaseUnavailable> =>
  Effect.suspend(() => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    const sslmode = sslmodeOf(url?.searchParams.get("sslmode") ?? undefined)
    if (
      url === undefined ||
      !/^postgres(ql)?:$/.test(url.protocol) ||
      url.pathname.length < 2 ||
      sslmode === undefined
    ) {
      return unavailable(
        ExitCode.usage,
        "The database URL is not one that can be used. It looks like postgres://USER:PASSWORD@HOST:5432/DATABASE, with ?sslmode=disable, require or verify-full if needed."
      )
    }
    return Effect.succeed({
      host: url.hostname,
      port: url.port === "" ? 5432 : Number(url.port),
      database: decodeURIComponent(url.pathname.slice(1)),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      sslmode
    })
  })

const readSecret = (folder: string, name: string) =>
  Effect.tryPromise({
    try: async () => (await readFile(join(folder, name), "utf8")).trim(),
    catch: (cause) => cause as NodeJS.ErrnoException
  })

/** Reads a mounted Secret: a folder with the files host, port, database, username, password and, if wanted, sslmode. */
export const fromSecret = (folder: string): Effect.Effect<Settings, DatabaseUnavailable> =>
  Effect.gen(function* () {
    const read = (name: string) => readSecret(folder, name)
    const required = (name: string) =>
      read(name).pipe(
        Effect.mapError((cause) =>
          unavailable(
            ExitCode.preconditionMissing,
            `The database's ${name} can't be read from ${join(folder, name)}: ${cause.code === "ENOENT" ? "there is no such file" : cause.code === "EACCES" ? "permission denied" : cause.message}. ` +
              "The Secret of this database is mounted there, with the files host, port, database, username and password; the platform makes it."
          )
        ),
        Effect.filterOrFail(
          (value) => value !== "",
          () =>
            unavailable(ExitCode.preconditionMissing, `${join(folder, name)} is empty. The platform fills this Secret.`)
        )
      )
    const port = yield* required("port")
    if (!/^\d{1,5}$/.test(port)) {
      return yield* unavailable(
        ExitCode.preconditionMissing,
        `${join(folder, "port")} holds "${port}", which is no port.`
      )
    }
    const sslmode = sslmodeOf(yield* read("sslmode").pipe(Effect.orElseSucceed(() => undefined)))
    if (sslmode === undefined) {
      return yield* unavailable(
        ExitCode.preconditionMissing,
        `${join(folder, "sslmode")} must hold disable, require or verify-full.`
      )
    }
    return {
      host: yield* required("host"),
      port: Number(port),
      database: yield* required("database"),
      user: yield* required("username"),
      password: yield* required("password"),
      sslmode
    }
  })

/**
 * An empty database where migrations are tried: `--scratch-url`, or the one that the file `scratch-database` of the mounted Secret
 * names. It is on the same server and belongs to the same role, so that a new password is new for both. Undefined: there is none.
 */
export const scratchSettings = (
  given: { readonly databaseUrl: string | undefined; readonly scratchUrl: string | undefined },
  env: Readonly<Record<string, string | undefined>>
): Effect.Effect<Settings | undefined, DatabaseUnavailable> => {
  const folder = env["DATABASE_SECRET_DIR"]
  if (given.scratchUrl !== undefined) return fromUrl(given.scratchUrl)
  // The Secret is of another database than the one that was asked for.
  if (given.databaseUrl !== undefined || folder === undefined || folder === "") return Effect.succeed(undefined)
  return readSecret(folder, SCRATCH).pipe(
    Effect.catchAll((cause) =>
      cause.code === "ENOENT"
        ? Effect.succeed(undefined)
        : Effect.fail(
            unavailable(
              ExitCode.preconditionMissing,
              `The scratch database's name can't be read from ${join(folder, SCRATCH)}: ${cause.message}. Without that file, migrations are not tried beforehand.`
            )
          )
    ),
    Effect.flatMap((database) =>
      database === undefined
        ? Effect.succeed(undefined)
        : database === ""
          ? Effect.fail(
              unavailable(
                ExitCode.preconditionMissing,
                `${join(folder, SCRATCH)} is empty. It names an empty database on the same server; leave the file out when there is none.`
              )
            )
          : Effect.map(fromSecret(folder), (settings) => ({ ...settings, database }))
    )
  )
}

const SCRATCH = "scratch-database"

/** `--database-url` if it was given, else the mounted Secret that `DATABASE_SECRET_DIR` names. */
export const settings = (
  url: string | undefined,
  env: Readonly<Record<string, string | undefined>>
): Effect.Effect<Settings, DatabaseUnavailable> => {
  if (url !== undefined) return fromUrl(url)
  const folder = env["DATABASE_SECRET_DIR"]
  return folder === undefined || folder === ""
    ? Effect.fail(
        unavailable(
          ExitCode.preconditionMissing,
          "No database is named. Set DATABASE_SECRET_DIR to the folder of its Secret, or give --database-url."
        )
      )
    : fromSecret(folder)
}

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" ? cause.code : ""

/** Why a connection was not made, in words, with the exit code: what is missing is 12, what is broken is 1. */
export const explain = (settings: Settings, cause: unknown): DatabaseUnavailable => {
  const place = `${settings.host}:${settings.port}/${settings.database}`
  const message = cause instanceof Error ? cause.message || codeOf(cause) : String(cause)
  switch (codeOf(cause)) {
    case "28P01":
    case "28000":
      return unavailable(
        ExitCode.preconditionMissing,
        `${place} does not let ${settings.user} in: ${message}. Check the role and its password in the database's Secret.`
      )
    case "3D000":
      return unavailable(
        ExitCode.preconditionMissing,
        `${place}: ${message}. The platform makes the database before the first release.`
      )
    default:
      return unavailable(
        ExitCode.toolFailed,
        `The database at ${place} can't be reached: ${message}. Nothing was changed. Check that it runs and that this place may reach it, then run the same command again.`
      )
  }
}

const toFailure = (cause: unknown): StatementFailed =>
  new StatementFailed({
    code: codeOf(cause),
    message: cause instanceof Error ? cause.message : String(cause),
    detail: cause instanceof pg.DatabaseError ? cause.detail : undefined
  })

/** One session: a connection that is ours alone until the scope closes. */
export interface Session {
  readonly client: pg.PoolClient
  /** Sends a script as it is; several statements are one implicit transaction unless they say otherwise. */
  readonly script: (text: string) => Effect.Effect<void, StatementFailed>
  /** One statement by the extended protocol, as a runtime sends it. */
  readonly query: <Row extends object>(
    text: string,
    values?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Row>, StatementFailed>
  /** The rows of a select of ours without values, in a stream of lines (`CopyOut`). Nothing else is carried out meanwhile. */
  readonly lines: (text: string) => Stream.Stream<CopyOut.Line, StatementFailed>
  /** As `query`; answers how many rows were written, or given back. */
  readonly count: (text: string, values: ReadonlyArray<unknown>) => Effect.Effect<number, StatementFailed>
}

/** Extended protocol also without values: it takes one statement only, so a text can't smuggle in a second one. */
const extended = (text: string, values: ReadonlyArray<unknown>) =>
  ({ text, values: [...values], queryMode: "extended" }) as pg.QueryConfig

const makeSession = (client: pg.PoolClient): Session => ({
  client,
  script: (text) => Effect.tryPromise({ try: () => client.query(text), catch: toFailure }).pipe(Effect.asVoid),
  query: <Row extends object>(text: string, values: ReadonlyArray<unknown> = []) =>
    Effect.tryPromise({ try: async () => (await client.query<Row>(extended(text, values))).rows, catch: toFailure }),
  lines: (text) => CopyOut.lines(client, text, toFailure),
  count: (text, values) =>
    Effect.tryPromise({ try: async () => (await client.query(extended(text, values))).rowCount ?? 0, catch: toFailure })
})

/** A pool of gates: one session that locks, and a few connections, since the engine's storages keep some for themselves. */
export class Database extends Context.Tag("gates/Database")<
  Database,
  {
    readonly settings: Settings
    readonly session: Effect.Effect<Session, DatabaseUnavailable, Scope.Scope>
  }
>() {}

/** Where and as whom `pg` connects. */
export const connection = ({ host, port, database, user, password, sslmode }: Settings) => ({
  host,
  port,
  database,
  user,
  password,
  ssl: sslmode === "disable" ? false : { rejectUnauthorized: sslmode === "verify-full" },
  connectionTimeoutMillis: 10_000
})

/** Connects once to see that it can, so that every later failure is one of a statement. */
export const layer = (
  settings: Settings
): Layer.Layer<Database | SqlClient.SqlClient | PgClient.PgClient, DatabaseUnavailable> =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const pool = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const pool = new pg.Pool({
            ...connection(settings),
            max: 5,
            application_name: "deliver",
            options: `-c search_path=${searchPath.replaceAll(" ", "")} -c lock_timeout=10000 -c timezone=UTC`
          })
          // An idle connection that breaks is reported by the next statement; without a listener it would end the process.
          pool.on("error", () => {})
          return pool
        }),
        (pool) => Effect.promise(() => pool.end())
      )
      const session: Effect.Effect<Session, DatabaseUnavailable, Scope.Scope> = Effect.acquireRelease(
        Effect.tryPromise({ try: () => pool.connect(), catch: (cause) => explain(settings, cause) }),
        // Destroyed, not given back: closing it frees its locks and ends what is still open, also after an interruption.
        (client) => Effect.sync(() => client.release(true))
      ).pipe(
        Effect.tap((client) => Effect.sync(() => client.on("error", () => {}))),
        Effect.map(makeSession)
      )
      yield* Effect.scoped(
        Effect.flatMap(session, (one) =>
          one.query("select 1").pipe(Effect.mapError((cause) => explain(settings, cause)))
        )
      )
      const sql = yield* PgClient.fromPool({ acquire: Effect.succeed(pool), applicationName: "deliver" }).pipe(
        Effect.mapError((cause) => explain(settings, cause.cause)),
        Effect.provide(Reactivity.layer)
      )
      return Context.make(Database, { settings, session }).pipe(
        Context.add(SqlClient.SqlClient, sql),
        Context.add(PgClient.PgClient, sql)
      )
    })
  )
