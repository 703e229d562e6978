/** `deliver drill restore`: the drill of the same name, with this image's own runner. */
import { join } from "node:path"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import * as Restore from "../../drills/restore/Restore.ts"
import { text } from "./databaseFlags.ts"
import { type Arguments, CliError, type Verb } from "./Verb.ts"

const usage = (message: string) => new CliError({ exitCode: ExitCode.usage, message })

const required = (args: Arguments, flag: string, what: string) =>
  Effect.filterOrFail(
    text(args, flag),
    (value): value is string => value !== undefined,
    () => usage(`--${flag} is missing: ${what}.`)
  )

const exitCodes: Readonly<Record<Restore.RestoreJournal["status"], ExitCode>> = {
  completed: ExitCode.passed,
  deviated: ExitCode.refused,
  "no-fault": ExitCode.undecided
}

const seconds = (ms: number | null) => (ms === null ? "not within its limit" : `${(ms / 1000).toFixed(1)} s`)

const print = (journal: Restore.RestoreJournal): string =>
  [
    `restore: ${journal.status}`,
    `  hypothesis  ${journal.hypothesis}`,
    `  as of       ${journal.asOf}`,
    ...journal.method.map(({ type, name, durationMs }) => `  ${type.padEnd(10)}  ${name} (${seconds(durationMs)})`),
    ...journal.compared.map(
      ({ name, source, copy, missing, changed }) =>
        `  ${String(source).padStart(8)} rows of ${name}, ${copy} in the copy${missing + changed === 0 ? "" : `: ${missing} missing, ${changed} otherwise`}`
    ),
    `  open        ${journal.open.inFlight} in flight, ${journal.open.asleep} asleep, ${journal.open.waiting} waiting, ${journal.open.approved} of these approved there`,
    `  fault       ${journal.fault ?? "nothing that was open went on in the copy: this drill has shown nothing of that"}`,
    `  recovery    ${seconds(journal.recoveryMs)}`,
    `  lost        ${journal.steadyState.after.executionsLost} of ${journal.steadyState.after.runs}`,
    `  doubled     ${journal.steadyState.after.eventsDoubled}`,
    ...(journal.removedSince.length === 0
      ? []
      : [
          `  removed     tenants that the copy has again: ${journal.removedSince.join(", ")}. Who takes it into service removes them anew.`
        ]),
    ...journal.steadyState.after.findings.map((finding) => `  ${finding}`)
  ].join("\n")

export const drillRestoreVerb: Verb = {
  name: "drill restore",
  summary: "hold a copy made from the backup against the database, and carry on there what was in flight",
  example: "deliver drill restore --copy-host 10.20.0.7 --as-of 2026-11-25T09:00:00Z",
  flags: {
    "source-secret": {
      type: "string",
      value: "DIR",
      description: "Secret of the database, role reader; else DATABASE_SECRET_DIR"
    },
    "copy-secret": { type: "string", value: "DIR", description: "role migrator in the copy; else COPY_SECRET_DIR" },
    "runner-secret": { type: "string", value: "DIR", description: "role runtime in the copy; else RUNNER_SECRET_DIR" },
    "copy-host": {
      type: "string",
      value: "HOST",
      description: "where the copy is; its Secrets' other values hold there"
    },
    "copy-port": { type: "string", value: "PORT", description: "its port, if it is another" },
    "as-of": {
      type: "string",
      value: "TIME",
      description: "all transactions from before it had ended at the copy's moment"
    },
    address: {
      type: "string",
      value: "IP",
      description: "the runner's own, 127.0.0.1 unless given",
      default: "127.0.0.1"
    },
    program: { type: "string", value: "FILE", description: "the runner; this image's unless given" },
    limit: { type: "string", value: "SECONDS", description: "for what was in flight to end; else 120" }
  },
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const folder = (flag: string, variable: string) =>
        Effect.flatMap(text(args, flag), (given = process.env[variable] ?? "") =>
          given === ""
            ? Effect.fail(usage(`Neither --${flag} nor ${variable} names a Secret's folder.`))
            : Effect.succeed(given)
        )
      const asOf = yield* required(
        args,
        "as-of",
        "the moment up to which the copy must have everything, as 2026-11-25T09:00:00Z"
      )
      if (Number.isNaN(Date.parse(asOf)) || !/Z|[+-]\d\d:?\d\d$/.test(asOf)) {
        return yield* usage(`--as-of ${asOf} is no moment. It looks like 2026-11-25T09:00:00Z.`)
      }
      const limit = (yield* text(args, "limit")) ?? "120"
      if (!/^[1-9]\d{0,4}$/.test(limit)) return yield* usage(`--limit ${limit} is no number of seconds.`)
      const address = (yield* text(args, "address")) ?? "127.0.0.1"
      const options = {
        sourceSecret: yield* folder("source-secret", "DATABASE_SECRET_DIR"),
        copySecret: yield* folder("copy-secret", "COPY_SECRET_DIR"),
        runnerSecret: yield* folder("runner-secret", "RUNNER_SECRET_DIR"),
        copyHost: yield* required(args, "copy-host", "where the copy is"),
        copyPort: yield* text(args, "copy-port"),
        program: (yield* text(args, "program")) ?? join(import.meta.dirname, "..", "runner.js"),
        address
      }
      const { surroundings } = yield* Effect.promise(() => import("./restoreSurroundings.ts"))
      const journal = yield* Effect.scoped(
        Effect.flatMap(surroundings(options), (around) =>
          Restore.run({ ...around, asOf, limit: `${Number(limit)} seconds` }).pipe(
            Effect.mapError(
              ({ message }) =>
                new CliError({ exitCode: ExitCode.toolFailed, message: `restore was aborted: ${message}` })
            )
          )
        )
      )
      return { exitCode: exitCodes[journal.status], text: print(journal), json: journal }
    })
}
