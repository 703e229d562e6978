/**
 * A verb of `deliver`, and how its words are read.
 *
 * One file a verb in this folder; `deliver.ts` lists them. Node's own `parseArgs` reads the flags; this module adds what
 * every verb shares: `--help` with an example, `--json`, a usage error that names the thing and the way out, exit codes.
 */
import { type ParseArgsConfig, parseArgs } from "node:util"
import { Data, Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { nearest } from "../../domain/Nearest.ts"

/** A failure with an exit code and a message for a person: what happened, where, why it matters, what to do. */
export class CliError extends Data.TaggedError("CliError")<{
  readonly exitCode: ExitCode
  readonly message: string
}> {}

export interface Flag {
  readonly type: "string" | "boolean"
  readonly description: string
  /** Shown in the help in place of the value: `URL`. */
  readonly value?: string
  readonly default?: string | boolean
}

export interface Outcome {
  readonly exitCode: ExitCode
  /** Printed to standard output, unless `--json` was given. Empty when everything was printed on the way. */
  readonly text: string
  /** Printed as one JSON document with `--json`. */
  readonly json: unknown
}

export interface Arguments {
  readonly flags: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: ReadonlyArray<string>
  readonly json: boolean
}

export interface Verb {
  /** One word, or two: `gate workflows`. */
  readonly name: string
  readonly summary: string
  readonly example: string
  readonly flags: Readonly<Record<string, Flag>>
  /** Names of the positional arguments; a name that ends with `?` is optional. */
  readonly positionals: ReadonlyArray<string>
  readonly run: (args: Arguments) => Effect.Effect<Outcome, CliError>
}

const usageError = (message: string) => new CliError({ exitCode: ExitCode.usage, message })

const shared: Readonly<Record<string, Flag>> = {
  json: { type: "boolean", description: "print one JSON document instead of text" },
  help: { type: "boolean", description: "show this" }
}

const flagHelp = (name: string, flag: Flag) =>
  `  ${`--${name}${flag.type === "string" ? ` ${flag.value ?? "VALUE"}` : ""}`.padEnd(28)} ${flag.description}`

/** The help of one verb. */
export const helpOf = (verb: Verb): string =>
  [
    `deliver ${[verb.name, ...verb.positionals.map((name) => (name.endsWith("?") ? `[${name.slice(0, -1)}]` : name))].join(" ")}`,
    verb.summary,
    "",
    ...Object.entries({ ...verb.flags, ...shared }).map(([name, flag]) => flagHelp(name, flag)),
    "",
    `Example: ${verb.example}`,
    "Exit codes: 0 passed, 1 the tool failed, 2 usage, 10 refused, 11 undecided, 12 precondition missing"
  ].join("\n")

const overview = (verbs: ReadonlyArray<Verb>): string =>
  [
    "deliver: releases of durable agents, gated by the work in flight",
    "",
    ...verbs.map((verb) => `  ${`deliver ${verb.name}`.padEnd(28)} ${verb.summary}`),
    "",
    "Every verb has --help and --json."
  ].join("\n")

const find = (verbs: ReadonlyArray<Verb>, argv: ReadonlyArray<string>) => {
  const byLength = [...verbs].sort((a, b) => b.name.split(" ").length - a.name.split(" ").length)
  for (const verb of byLength) {
    const words = verb.name.split(" ")
    if (words.every((word, i) => argv[i] === word)) return { verb, rest: argv.slice(words.length) }
  }
  return undefined
}

/** Reads the command line and runs the verb. Prints nothing itself. */
export const runVerb = (verbs: ReadonlyArray<Verb>, argv: ReadonlyArray<string>): Effect.Effect<Outcome, CliError> =>
  Effect.gen(function* () {
    if (argv.length === 0 || argv[0] === "--help" || argv[0] === "help") {
      return {
        exitCode: ExitCode.passed,
        text: overview(verbs),
        json: verbs.map(({ name, summary }) => ({ name, summary }))
      }
    }
    const found = find(verbs, argv)
    if (found === undefined) {
      const family = verbs.filter((verb) => verb.name.startsWith(`${argv[0]} `)).map((verb) => verb.name)
      const hint =
        nearest(
          argv.slice(0, 2).join(" "),
          verbs.map((verb) => verb.name)
        ) ??
        nearest(
          argv[0]!,
          verbs.map((verb) => verb.name)
        )
      return yield* usageError(
        family.length > 0
          ? `"deliver ${argv[0]}" needs one more word: ${family.map((name) => `"deliver ${name}"`).join(", ")}.`
          : `"${argv[0]}" is not a verb of deliver.${hint === undefined ? "" : ` Did you mean "deliver ${hint}"?`} Run "deliver --help" for all of them.`
      )
    }
    const { verb, rest } = found
    const flags = { ...verb.flags, ...shared }
    const parsed = yield* Effect.try({
      try: () => {
        const options: NonNullable<ParseArgsConfig["options"]> = Object.fromEntries(
          Object.entries(flags).map(([name, flag]) => [
            name,
            { type: flag.type, ...(flag.default === undefined ? {} : { default: flag.default }) }
          ])
        )
        return parseArgs({ args: [...rest], options, allowPositionals: true, strict: true })
      },
      catch: (cause) => {
        const message = cause instanceof Error ? cause.message : String(cause)
        const unknown = /Unknown option '(-[^']*)'/.exec(message)?.[1]
        const hint = unknown === undefined ? undefined : nearest(unknown.replace(/^-+/, ""), Object.keys(flags))
        return usageError(
          `deliver ${verb.name}: ${unknown === undefined ? message : `there is no flag ${unknown}.`}` +
            `${hint === undefined ? "" : ` Did you mean --${hint}?`} Run "deliver ${verb.name} --help".`
        )
      }
    })
    if (parsed.values["help"] === true) {
      return {
        exitCode: ExitCode.passed,
        text: helpOf(verb),
        json: { name: verb.name, summary: verb.summary, example: verb.example }
      }
    }
    const required = verb.positionals.filter((name) => !name.endsWith("?"))
    if (parsed.positionals.length < required.length || parsed.positionals.length > verb.positionals.length) {
      return yield* usageError(
        parsed.positionals.length < required.length
          ? `deliver ${verb.name}: ${required[parsed.positionals.length]} is missing. Example: ${verb.example}`
          : `deliver ${verb.name}: "${parsed.positionals[verb.positionals.length]}" is one word too many. Example: ${verb.example}`
      )
    }
    return yield* verb.run({
      flags: parsed.values as Arguments["flags"],
      positionals: parsed.positionals,
      json: parsed.values["json"] === true
    })
  })
