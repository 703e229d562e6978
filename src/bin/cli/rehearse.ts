/** `deliver rehearse`. */
import { createInterface } from "node:readline/promises"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { CliError, type Verb } from "./Verb.ts"

const DRIVERS = ["processes", "kubernetes"]

const ask = (question: string) =>
  Effect.tryPromise({
    try: async (signal) => {
      const terminal = createInterface({ input: process.stdin, output: process.stderr })
      try {
        return (await terminal.question(question, { signal })).trim().toLowerCase()
      } finally {
        terminal.close()
      }
    },
    catch: () => "no"
  }).pipe(Effect.orElseSucceed(() => "no"))

const exitCodes: Readonly<Record<string, ExitCode>> = {
  PreconditionMissing: ExitCode.preconditionMissing,
  DeliveryConfigInvalid: ExitCode.refused,
  TargetUnknown: ExitCode.usage,
  PostgresUnavailable: ExitCode.preconditionMissing,
  LoopbackUnavailable: ExitCode.preconditionMissing,
  ManifestRefused: ExitCode.refused
}

export const rehearseVerb: Verb = {
  name: "rehearse",
  summary: "walk releases of this commit through all targets on this machine, and see a bad one refused",
  example: "deliver rehearse --yes",
  flags: {
    yes: { type: "boolean", description: "approve what requires approval, without asking" },
    driver: {
      type: "string",
      value: "NAME",
      default: "processes",
      description: "where pods run: processes, kubernetes"
    },
    "image-command": {
      type: "string",
      value: "COMMAND",
      description: "with --driver kubernetes: builds and pushes, called with FOLDER NAME:TAG, prints NAME@sha256:..."
    },
    until: { type: "string", value: "TARGET", description: "end after this target (default: the pipeline's last)" },
    "allow-dirty": { type: "boolean", description: "rehearse the last commit although the work tree has changes" }
  },
  positionals: [],
  run: ({ flags, json }) =>
    Effect.gen(function* () {
      if (!DRIVERS.includes(String(flags["driver"]))) {
        return yield* new CliError({
          exitCode: ExitCode.usage,
          message: `There is no driver "${flags["driver"]}". There is: ${DRIVERS.join(", ")}.`
        })
      }
      const imageCommand = flags["image-command"]
      const kubernetes = flags["driver"] === "kubernetes"
      if (kubernetes !== (typeof imageCommand === "string")) {
        return yield* new CliError({
          exitCode: ExitCode.usage,
          message: kubernetes
            ? "--driver kubernetes needs --image-command COMMAND: nodes pull images from a registry, so something must build and push them. It is called with FOLDER NAME:TAG and prints the pushed image as NAME@sha256:... (README)."
            : "--image-command is for --driver kubernetes: pods that are processes need no pushed image."
        })
      }
      const yes = flags["yes"] === true
      if (!yes && !process.stdin.isTTY) {
        return yield* new CliError({
          exitCode: ExitCode.usage,
          message:
            "prod requires an approval, and there is no terminal to ask at. Pass --yes to approve without asking."
        })
      }
      // Loaded here: the other verbs, which run as hooks in a cluster, need none of it.
      const [{ rehearse }, Progress, { print, Report }, { Schema }] = yield* Effect.promise(() =>
        Promise.all([
          import("../../rehearsal/Rehearsal.ts"),
          import("../../rehearsal/Progress.ts"),
          import("../../rehearsal/report/Report.ts"),
          import("effect")
        ])
      )
      const progress = Progress.make((line) => (json ? process.stderr : process.stdout).write(`${line}\n`))
      const until = flags["until"]
      const context = process.env["CLUSTER_CONTEXT"]
      const mine = process.env["CLUSTER_CONTEXT_IS_MINE"]
      const report = yield* rehearse({
        folder: process.cwd(),
        allowDirty: flags["allow-dirty"] === true,
        ...(typeof until === "string" ? { until } : {}),
        progress,
        ...(typeof imageCommand === "string"
          ? {
              kubernetes: {
                imageCommand,
                ...(context === undefined ? {} : { context }),
                ...(mine === undefined ? {} : { mine })
              }
            }
          : {}),
        approve: (release, target) =>
          yes
            ? progress.say(target, `${release.name}: approved by --yes`).pipe(Effect.as(true))
            : ask(`Approve ${release.name} for ${target}? [y/N] `).pipe(
                Effect.map((answer) => answer === "y" || answer === "yes")
              )
      }).pipe(
        Effect.mapError(
          (error) => new CliError({ exitCode: exitCodes[error._tag] ?? ExitCode.toolFailed, message: error.message })
        )
      )
      return {
        exitCode: report.passed ? ExitCode.passed : ExitCode.refused,
        text: `\n${print(report)}\n\nThe same as JSON: .rehearsal/report.json`,
        json: Schema.encodeSync(Report)(report)
      }
    })
}
