/**
 * Reads the open work from the cluster library's tables, and from the journal of steps.
 *
 * One read-only snapshot: executions go on while we look, and a message read with a reply that came later would lie. Rows
 * come as they are taken, so memory is bounded by the largest execution.
 */
import { Chunk, Effect, Layer, Option, Stream } from "effect"
import { Database, type DatabaseUnavailable, type StatementFailed } from "../Database.ts"
import { OpenWork, OpenWorkUnreadable } from "./OpenWork.ts"
import { callOf, Executions, livedOf, resultOf } from "./postgres/assemble.ts"
import * as Pace from "./postgres/Pace.ts"
import * as statements from "./postgres/statements.ts"

/** A statement lasts until its last row was taken. Hooks end after five minutes. */
const STATEMENT_TIMEOUT = "280s"

const unreadable = (cause: StatementFailed | DatabaseUnavailable): OpenWorkUnreadable => {
  if (cause._tag === "DatabaseUnavailable") {
    return new OpenWorkUnreadable({ precondition: cause.exitCode === 12, message: cause.message })
  }
  const denied = cause.code === "42501"
  const slow = cause.code === "57014"
  return new OpenWorkUnreadable({
    precondition: denied,
    message: `The open work can't be read: ${cause.message}. ${
      denied
        ? "The gate's role needs select on the tables of the schema cluster; migrations grant it to the role reader."
        : slow
          ? `It took longer than ${STATEMENT_TIMEOUT}. Remove finished executions from the cluster's tables, or look for what blocks the database.`
          : "Nothing was changed; run the gate again."
    }`
  })
}

export const layer: Layer.Layer<OpenWork, OpenWorkUnreadable, Database> = Layer.scoped(
  OpenWork,
  Effect.gen(function* () {
    const database = yield* Database
    const session = yield* database.session.pipe(Effect.mapError(unreadable))
    const query = <Row extends object>(text: string) => session.query<Row>(text).pipe(Effect.mapError(unreadable))

    yield* session
      .script(
        `begin isolation level repeatable read read only; set local statement_timeout = '${STATEMENT_TIMEOUT}'; set local lock_timeout = '2s'; set local work_mem = '32MB'; set local max_parallel_workers_per_gather = 0; set local idle_in_transaction_session_timeout = '10min'`
      )
      .pipe(Effect.mapError(unreadable))
    const [place] = yield* query<{
      replica: boolean
      there: boolean
      journal: boolean
      runs: boolean
      encoding: string
    }>(
      "select current_setting('server_encoding') as encoding, pg_is_in_recovery() as replica, to_regclass('cluster.cluster_messages') is not null and to_regclass('cluster.cluster_replies') is not null as there, to_regclass('agents.steps') is not null as journal, to_regclass('agents.runs') is not null as runs"
    )
    if (place?.replica === true) {
      return yield* new OpenWorkUnreadable({
        precondition: true,
        message:
          "This database is a replica: it lags, and work accepted a moment ago is not in it. Let the gate ask the primary."
      })
    }

    if (place?.encoding !== "UTF8") {
      return yield* new OpenWorkUnreadable({
        precondition: true,
        message: `This database is encoded in ${place?.encoding}, and JSON is UTF8: what the gate read could be something else than what a runner reads. Make the database anew with encoding UTF8.`
      })
    }
    const lines = (text: string) => session.lines(text).pipe(Stream.mapError(unreadable))

    const busy = yield* Pace.watch(database.session)
    return {
      exists: Effect.succeed(place?.there === true),
      executions: Stream.suspend(() => {
        const executions = new Executions()
        return Pace.paced(lines(statements.executions(place.journal)), busy).pipe(
          Stream.mapChunks((chunk) => Chunk.unsafeFromArray(executions.add(chunk))),
          Stream.concat(Stream.suspend(() => Stream.fromIterable(executions.end())))
        )
      }),
      calls: Stream.map(lines(statements.calls), callOf),
      results: (workflows) =>
        workflows.length === 0 ? Stream.empty : Stream.map(lines(statements.results(workflows, place.runs)), resultOf),
      lived: (workflow) =>
        Stream.runHead(lines(statements.lived(workflow))).pipe(
          Effect.map(Option.getOrUndefined),
          Effect.map((line) => (line === undefined ? undefined : livedOf(line)))
        )
    }
  })
)
