/**
 * Applies one migration with node-pg-migrate, and decides at its COMMIT.
 *
 * node-pg-migrate sends BEGIN, the file's text, the row for its own table and COMMIT over a client that we hand in. Ours
 * looks at each text: before the COMMIT it proves, in the very same transaction, that everybody's statements still work. So
 * nothing that breaks a running release is ever visible to it, not even for a moment.
 */
import { Data, Effect, Runtime } from "effect"
import { type RunnerOption, runner } from "node-pg-migrate"
import type pg from "pg"
import type { Session, StatementFailed } from "../Database.ts"
import type { MigrationFile } from "./MigrationFile.ts"

/** `commit` keeps what was proven. `prove` does everything in one transaction of the caller's and leaves the end to it. */
export type Mode = "commit" | "prove"

/** Postgres refused a statement of the file itself: apart from a failure of the gate's own queries. */
export class FileFailed extends Data.TaggedError("FileFailed")<{
  readonly code: string
  readonly message: string
}> {}

const fileFailed = (cause: unknown) =>
  new FileFailed({
    code: typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "",
    // Without Postgres' DETAIL, which can quote a row of somebody's data.
    message: cause instanceof Error ? cause.message : String(cause)
  })

/** What a file does in a proof: a concurrent drop is tried as a plain one, a concurrent build changes no statement's meaning. */
const provable = (file: MigrationFile): string =>
  file.transactional
    ? file.sql
    : /^drop index concurrently\b/.test(file.statements[0]?.words ?? "")
      ? file.statements[0]!.text.replace(/\bconcurrently\b/i, "")
      : "select 1"

const silent = { info: () => {}, warn: () => {}, error: () => {} }

const run = (session: Session, dbClient: pg.ClientBase, folder: string, file: MigrationFile, mode: Mode) => {
  const transactional = mode === "prove" || file.transactional
  const options: RunnerOption = {
    dbClient,
    dir: folder,
    direction: "up",
    file: file.name,
    migrationsTable: "pgmigrations",
    migrationsSchema: "agents",
    createMigrationsSchema: true,
    singleTransaction: false,
    // Both are done before, with more to say.
    checkOrder: false,
    noLock: true,
    logger: silent,
    migrationLoaderStrategies: [
      {
        extensions: [".sql"],
        // The text that was checked and hashed is the text that runs. Other files are only named.
        loader: async (paths) =>
          paths.map((path) => ({
            id: path,
            filePaths: [path],
            actions: {
              up: (pgm) => {
                if (path !== file.path) throw new Error(`${path} was not asked for`)
                if (!transactional) pgm.noTransaction()
                pgm.sql(transactional ? (mode === "prove" ? provable(file) : file.sql) : file.statements[0]!.text)
              },
              down: false
            }
          }))
      }
    ]
  }
  return Effect.tryPromise({ try: () => runner(options), catch: (cause) => cause }).pipe(
    Effect.asVoid,
    Effect.tapError(() => (mode === "commit" ? Effect.ignore(session.script("rollback")) : Effect.void))
  )
}

/** Effects may fail with their own errors inside of a promise: kept whole in here. */
class Thrown<E> {
  readonly error: E
  constructor(error: E) {
    this.error = error
  }
}

/** An index that a killed concurrent build left behind is there, but never used: it must go before the next try. */
const dropInvalid = (session: Session, file: MigrationFile) =>
  Effect.gen(function* () {
    const name = /^create (?:unique )?index concurrently if not exists (\S+)/.exec(file.statements[0]?.words ?? "")?.[1]
    if (name === undefined) return
    const [invalid] = yield* session.query<{ index: string }>(
      "select indexrelid::regclass::text as index from pg_index where indexrelid = to_regclass($1) and not indisvalid",
      [name]
    )
    if (invalid !== undefined) yield* session.script(`drop index concurrently ${invalid.index}`)
  })

/**
 * Applies the file, with `beforeCommit` as the last word in its transaction. When that fails, everything of the file is
 * rolled back and its error comes out.
 */
export const apply = <E, R>(
  session: Session,
  folder: string,
  file: MigrationFile,
  mode: Mode,
  lockTimeoutMillis: number,
  beforeCommit: Effect.Effect<void, E, R>
): Effect.Effect<void, E | FileFailed | StatementFailed, R> =>
  Effect.gen(function* () {
    const runtime = yield* Effect.runtime<R>()
    const decide = () =>
      Runtime.runPromise(runtime)(
        beforeCommit.pipe(Effect.match({ onFailure: (error) => new Thrown(error), onSuccess: () => undefined }))
      ).then((thrown) => {
        if (thrown !== undefined) throw thrown
      })
    const query = async (text: unknown, values?: unknown) => {
      if (text === "BEGIN;" && mode === "prove") return
      if (text === "COMMIT;") {
        await decide()
        if (mode === "prove") return
      }
      return session.client.query(text as string, values as Array<unknown> | undefined)
    }
    const intercepted: pg.ClientBase = Object.create(session.client, { query: { value: query } })

    const applied = run(session, intercepted, folder, file, mode).pipe(
      Effect.mapError((cause) => (cause instanceof Thrown ? (cause.error as E) : fileFailed(cause)))
    )
    if (mode === "prove" || file.transactional) return yield* applied

    // A concurrent drop can't be taken back, so it is proven before, as a plain one that is rolled back.
    yield* session.script("begin")
    yield* session
      .script(provable(file))
      .pipe(
        Effect.mapError(fileFailed),
        Effect.zipRight(beforeCommit),
        Effect.ensuring(Effect.ignore(session.script("rollback")))
      )
    // It blocks nobody while it waits for older transactions, so it may wait long.
    yield* session
      .script("set lock_timeout = '10min'")
      .pipe(
        Effect.zipRight(dropInvalid(session, file)),
        Effect.zipRight(applied),
        Effect.ensuring(Effect.ignore(session.script(`set lock_timeout = ${lockTimeoutMillis}`)))
      )
  })
