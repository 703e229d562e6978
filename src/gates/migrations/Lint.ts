/**
 * Squawk's rules on migrations that are new: locks that stop traffic, rewrites, names that vanish.
 *
 * Applied migrations are left alone: a rule that comes with a newer linter must not refuse what can't be changed any more.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { Data, Effect, Schema } from "effect"
import type { Finding } from "../Evidence.ts"
import type { MigrationFile } from "./MigrationFile.ts"

/** The linter is not there or did not work; says nothing about the migrations. */
export class LinterBroken extends Data.TaggedError("LinterBroken")<{ readonly message: string }> {}

/** Off for every file, with the reason. */
const never = [
  // The migrator sets both for the session, so files need not.
  "require-lock-timeout",
  "require-statement-timeout"
]

/** Off in a contract step: taking away is its purpose, and whether anybody needs it is proven with real statements. */
const contract = ["ban-drop-column", "ban-drop-table", "ban-drop-not-null", "renaming-column", "renaming-table"]

/** How squawk is called for a file. Squawk's own config file is not used: `--exclude` would replace what it excludes. */
export const argumentsFor = (file: MigrationFile): ReadonlyArray<string> => [
  "--pg-version=16",
  file.transactional ? "--assume-in-transaction" : "--no-assume-in-transaction",
  `--exclude=${[...never, ...(file.phase === "contract" ? contract : [])].join(",")}`,
  "--reporter=json",
  file.path
]

/** `bin/squawk` of the image, else the npm package's binary for this platform. */
export const binary = (imageRoot: string): Effect.Effect<string, LinterBroken> =>
  Effect.try({
    try: () => {
      const own = join(imageRoot, "bin", "squawk")
      if (existsSync(own)) return own
      const umbrella = createRequire(createRequire(import.meta.url).resolve("squawk-cli/package.json"))
      const found = join(
        dirname(umbrella.resolve(`@squawk-cli/${process.platform}-${process.arch}/package.json`)),
        "bin",
        "squawk"
      )
      if (!existsSync(found)) throw new Error(`${found} is not there`)
      return found
    },
    catch: (cause) =>
      new LinterBroken({
        message: `The migration linter squawk is missing: neither ${join(imageRoot, "bin", "squawk")} nor the npm package squawk-cli for ${process.platform}-${process.arch} is there (${cause instanceof Error ? cause.message.split("\n")[0] : cause}). Build the image again, or run "make setup".`
      })
  })

const Violations = Schema.parseJson(
  Schema.Array(
    Schema.Struct({
      /** Counted from 0. */
      line: Schema.Int,
      level: Schema.String,
      message: Schema.String,
      help: Schema.NullOr(Schema.String),
      rule_name: Schema.String
    })
  )
)

const why: Readonly<Record<string, string>> = {
  "syntax-error": "Postgres would refuse it as well.",
  "ban-drop-column": "An expand step must leave everything that older releases use.",
  "ban-drop-table": "An expand step must leave everything that older releases use."
}

/** Lints one file. */
export const lint = (squawk: string, file: MigrationFile): Effect.Effect<ReadonlyArray<Finding>, LinterBroken> =>
  Effect.async<string, LinterBroken>((resume) => {
    const child = execFile(squawk, [...argumentsFor(file)], { timeout: 30_000 }, (error, stdout, stderr) => {
      // 1 means "found something", which the report says better.
      resume(
        error === null || (error.code === 1 && stdout.trim().startsWith("["))
          ? Effect.succeed(stdout)
          : new LinterBroken({ message: `squawk did not work on ${file.path}: ${stderr.trim() || error.message}` })
      )
    })
    return Effect.sync(() => child.kill())
  }).pipe(
    Effect.flatMap((report) =>
      Schema.decode(Violations)(report.trim() === "" ? "[]" : report).pipe(
        Effect.mapError(
          (error) => new LinterBroken({ message: `squawk reported in a form that is not known: ${error.message}` })
        )
      )
    ),
    Effect.map((violations) =>
      violations.map(
        (violation): Finding => ({
          rule: `squawk/${violation.rule_name}`,
          severity: "hazard",
          what: violation.message,
          where: `migrations/${file.name}.sql:${violation.line + 1}`,
          why: why[violation.rule_name] ?? "It can stop or break the releases that run while it is applied.",
          fix: `${violation.help === null ? "Change the statement" : violation.help.replace(/\.?$/, "")}. If it is safe here, put "-- squawk-ignore ${violation.rule_name}" above it and say why.`
        })
      )
    )
  )
