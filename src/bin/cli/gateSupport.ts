/** What the verbs that look at a database share: how it is reached, and how failures end the process. Loaded when it is needed. */
import type { SqlClient } from "@effect/sql"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { type Database, layer, type Settings, type StatementFailed, settings } from "../../gates/Database.ts"
import * as Evidence from "../../gates/Evidence.ts"
import { text } from "./databaseFlags.ts"
import { type Arguments, CliError, type Outcome } from "./Verb.ts"

const onStatement = (settings: Settings, failure: StatementFailed) =>
  failure.code === "42501"
    ? new CliError({
        exitCode: ExitCode.preconditionMissing,
        message: `Role ${settings.user} may not do this in ${settings.database}: ${failure.message}. Migrations and release records need the database's owner, the role migrator; nothing was changed.`
      })
    : failure.code === "42P01"
      ? new CliError({
          exitCode: ExitCode.preconditionMissing,
          message: `${settings.database} is not migrated yet: ${failure.message}. Run "deliver migrate up" first.`
        })
      : new CliError({
          exitCode: ExitCode.toolFailed,
          message: `The database ${settings.host}:${settings.port}/${settings.database} failed: ${failure.message}${failure.code === "" ? "" : ` (${failure.code})`}. What was open is rolled back; run the same command again.`
        })

/** Failures that carry their own words and have one exit code. */
const exitCodes: Readonly<Record<string, ExitCode>> = {
  ImageIncomplete: ExitCode.preconditionMissing,
  MigrationsUnreadable: ExitCode.preconditionMissing,
  LinterBroken: ExitCode.preconditionMissing,
  MigratorBusy: ExitCode.preconditionMissing,
  ScratchUnusable: ExitCode.preconditionMissing,
  EvidenceNotFound: ExitCode.preconditionMissing
}

interface Told {
  readonly _tag: string
  readonly message: string
  readonly exitCode?: ExitCode
}

const toCliError = (settings: Settings, error: Told): CliError =>
  error instanceof CliError
    ? error
    : error._tag === "StatementFailed"
      ? onStatement(settings, error as StatementFailed)
      : new CliError({
          exitCode: error.exitCode ?? exitCodes[error._tag] ?? ExitCode.toolFailed,
          message: error.message
        })

/** Turns failures with words of their own into the command's. */
export const told = <A, E extends Told, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, CliError, R> =>
  Effect.mapError(
    effect,
    (error) =>
      new CliError({ exitCode: error.exitCode ?? exitCodes[error._tag] ?? ExitCode.toolFailed, message: error.message })
  )

/** Runs with the database that the flags or the environment name. */
export const withDatabase = <A, E extends Told>(
  args: Arguments,
  effect: Effect.Effect<A, E, Database | SqlClient.SqlClient>
): Effect.Effect<A, CliError> =>
  Effect.gen(function* () {
    const where = yield* told(settings(yield* text(args, "database-url"), process.env))
    return yield* effect.pipe(
      Effect.mapError((error) => toCliError(where, error)),
      Effect.provide(layer(where)),
      Effect.mapError((error) => toCliError(where, error))
    )
  })

/** A gate's evidence as a command's outcome. */
export const outcomeOf = (evidence: Evidence.Evidence): Outcome => ({
  exitCode: Evidence.exitCodeOf(evidence.verdict),
  text: Evidence.toText(evidence),
  json: Evidence.toJson(evidence)
})
