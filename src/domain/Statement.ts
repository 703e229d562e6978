/**
 * Every SQL statement that our code runs, by name.
 *
 * The statements are part of a release's surface: the migration gate prepares those of every release that may still run
 * in the transaction of each migration, and rolls it back when one of them would no longer work. So SQL lives in no other
 * place, and has its final text at start-up: no statement is put together from pieces at run time.
 */
import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, type ParseResult, Schema } from "effect"

export interface Statement<Row, Params extends ReadonlyArray<unknown>> {
  /** `<table or topic>.<verb>`, unique. */
  readonly name: string
  readonly text: string
  /** Sample values with which a gate may run the statement under a savepoint. Only writes have them. */
  readonly probe: Params | undefined
  /** Runs the statement and decodes its rows. A row that does not decode is a defect: schema and code disagree. */
  readonly run: (...params: Params) => Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError, SqlClient.SqlClient>
}

/** What the registry keeps of a statement. */
export interface Registered {
  readonly name: string
  readonly text: string
  readonly probe: ReadonlyArray<unknown> | undefined
}

const registry = new Map<string, Registered>()

/**
 * Declares a statement. Call it at a module's top level, so that loading the module lists it.
 *
 * `params` are the types of `$1`, `$2` and so on; JSON goes in as text with a `::jsonb` in the statement, since `pg` would
 * make a Postgres array of a JavaScript one.
 */
export const make =
  <Params extends ReadonlyArray<unknown>>() =>
  <Row, Encoded>(options: {
    readonly name: string
    readonly text: string
    readonly row: Schema.Schema<Row, Encoded>
    readonly probe?: Params
  }): Statement<Row, Params> => {
    if (registry.has(options.name)) throw new Error(`Two statements are named ${options.name}`)
    const text = options.text.trim()
    const decode = Schema.decodeUnknown(Schema.Array(options.row))
    registry.set(options.name, { name: options.name, text, probe: options.probe })
    return {
      name: options.name,
      text,
      probe: options.probe,
      run: (...params) =>
        SqlClient.SqlClient.pipe(
          Effect.flatMap((sql) => sql.unsafe<object>(text, params)),
          Effect.flatMap((rows) => decode(rows).pipe(Effect.orDieWith(decodeFailure(options.name)))),
          Effect.withSpan(`sql.${options.name}`, { captureStackTrace: false })
        )
    }
  }

const decodeFailure = (name: string) => (error: ParseResult.ParseError) =>
  new Error(`A row of ${name} is not what this release expects: ${error.message}`)

/** All statements of the modules loaded so far, by name. */
export const all = (): ReadonlyArray<Registered> =>
  [...registry.values()].sort((one, other) => (one.name < other.name ? -1 : 1))

/** Rows of a statement whose answer nobody reads. */
export const NoRow = Schema.Unknown
