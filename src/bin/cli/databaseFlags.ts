/** Flags of the verbs that look at a database. Apart from what they need to do it, so that `--help` loads none of that. */
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { type Arguments, CliError, type Flag } from "./Verb.ts"

export const databaseFlags: Readonly<Record<string, Flag>> = {
  "database-url": {
    type: "string",
    value: "URL",
    description: "the database; else the Secret in the folder DATABASE_SECRET_DIR"
  }
}

/** Of the verbs that try migrations. */
export const scratchFlag: Readonly<Record<string, Flag>> = {
  "scratch-url": {
    type: "string",
    value: "URL",
    description:
      "an empty database where migrations are tried; else the one that the Secret's file scratch-database names"
  }
}

/** How many of something a verb works on at most; so many by default. */
export const limitFlag = (of: string, doing: string): Flag => ({
  type: "string",
  value: "NUMBER",
  description: `${of} to ${doing} at most; else ${LIMIT}`
})

const LIMIT = 10_000

/** What `--limit` says, from 1 on. */
export const limit = (args: Arguments, of: string): Effect.Effect<number, CliError> =>
  Effect.flatMap(text(args, "limit"), (given = String(LIMIT)) =>
    /^[1-9]\d{0,8}$/.test(given)
      ? Effect.succeed(Number(given))
      : Effect.fail(
          new CliError({ exitCode: ExitCode.usage, message: `--limit ${given} is not a number of ${of}, from 1 on.` })
        )
  )

/** A flag's text, or nothing. An empty value is a mistake of the caller's script. */
export const text = (args: Arguments, flag: string): Effect.Effect<string | undefined, CliError> => {
  const value = args.flags[flag]
  return value === ""
    ? Effect.fail(new CliError({ exitCode: ExitCode.usage, message: `--${flag} is empty.` }))
    : Effect.succeed(typeof value === "string" ? value : undefined)
}
