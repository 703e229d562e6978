/**
 * Reads the open work from the cluster library's tables, and from the journal of steps.
 *
 * One read-only snapshot: executions go on while we look, and a message read with a reply that came later would lie. It is open for
 * as long as Postgres takes to send the rows, and not until the last is judged: they wait in a file (`Spool`), so memory is bounded
 * by the largest execution. Results are read by another one, later: what has ended meanwhile was open in the first.
 */
import { Chunk, Effect, Fiber, Layer, Option, Stream } from "effect"
import { Database, type DatabaseUnavailable, type StatementFailed } from "../Database.ts"
import * as Spool from "../Spool.ts"
import { OpenWork, OpenWorkUnreadable } from "./OpenWork.ts"
import { callOf, Executions, livedOf, resultOf } from "./postgres/assemble.ts"
import * as Pace from "./postgres/Pace.ts"
import * as statements from "./postgres/statements.ts"

/** A statement lasts until its last row was taken. Hooks end after five minutes. */
const STATEMENT_TIMEOUT = "280s"

const BEGIN = `begin isolation level repeatable read read only; set local statement_timeout = '${STATEMENT_TIMEOUT}'; set local lock_timeout = '2s'; set local work_mem = '32MB'; set local max_parallel_workers_per_gather = 0; set local idle_in_transaction_session_timeout = '10min'`

const noFile = (cause: unknown) =>
  new OpenWorkUnreadable({
    precondition: true,
    message: `The open work can't be kept while it is judged: ${cause instanceof Error ? cause.message : cause}. The gate needs a folder for temporary files (TMPDIR) with some 200 bytes for each step of an open execution.`
  })

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

    yield* session.script(BEGIN).pipe(Effect.mapError(unreadable))
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

    const executions = yield* Spool.make(noFile)
    const calls = yield* Spool.make(noFile)
    const scope = yield* Effect.scope
    let reading: Fiber.Fiber<void, OpenWorkUnreadable> | undefined
    /** All that is open, in one snapshot that then ends. Begun by whoever asks first. */
    const read = Effect.suspend(() =>
      reading !== undefined
        ? Effect.void
        : executions.fill(lines(statements.executions(place?.journal === true))).pipe(
            Effect.zipRight(calls.fill(lines(statements.calls))),
            Effect.zipRight(session.script(`commit; ${BEGIN}`).pipe(Effect.mapError(unreadable))),
            Effect.forkIn(scope),
            Effect.map((fiber) => {
              reading = fiber
            })
          )
    )
    const kept = (spool: typeof executions) => Stream.unwrap(Effect.as(read, spool.lines))
    /** Behind it: one connection carries out one statement at a time. */
    const later = (text: string) =>
      Stream.unwrap(
        Effect.suspend(() => Effect.as(reading === undefined ? Effect.void : Fiber.join(reading), lines(text)))
      )

    const busy = yield* Pace.watch(database.session)
    return {
      exists: Effect.succeed(place?.there === true),
      executions: Stream.suspend(() => {
        const whole = new Executions()
        return Pace.paced(kept(executions), busy, executions.count).pipe(
          Stream.mapChunks((chunk) => Chunk.unsafeFromArray(whole.add(chunk))),
          Stream.concat(Stream.suspend(() => Stream.fromIterable(whole.end())))
        )
      }),
      calls: Stream.map(kept(calls), callOf),
      results: (workflows) =>
        workflows.length === 0 ? Stream.empty : Stream.map(later(statements.results(workflows, place.runs)), resultOf),
      lived: (workflow) =>
        Stream.runHead(later(statements.lived(workflow))).pipe(
          Effect.map(Option.getOrUndefined),
          Effect.map((line) => (line === undefined ? undefined : livedOf(line)))
        )
    }
  })
)
