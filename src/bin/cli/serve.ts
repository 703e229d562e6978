/** `deliver serve` */
import { join } from "node:path"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { CliError, type Verb } from "./Verb.ts"

const DEFAULT_PORT = 8791

const exitCodes: Readonly<Record<string, ExitCode>> = {
  PreconditionMissing: ExitCode.preconditionMissing,
  HostFailed: ExitCode.preconditionMissing
}

const numberOf = (name: string, value: unknown, least: number) => {
  const number = Number(value)
  return Number.isFinite(number) && number >= least
    ? Effect.succeed(number)
    : new CliError({
        exitCode: ExitCode.usage,
        message: `--${name} must be a number of at least ${least}, not "${value}".`
      })
}

export const serveVerb: Verb = {
  name: "serve",
  summary: "Cloud Deploy on this machine: the API that an unmodified gcloud speaks to, until Ctrl-C",
  example:
    'deliver serve, then in another terminal: eval "$(deliver serve --env)" && gcloud deploy releases list --delivery-pipeline=agents',
  flags: {
    port: {
      type: "string",
      value: "PORT",
      default: String(DEFAULT_PORT),
      description: "on 127.0.0.1; 0 takes a free one"
    },
    env: { type: "boolean", description: "print the shell lines that point gcloud at the server that runs, and end" },
    down: {
      type: "boolean",
      description: "end what a server left running in the background, and end; its state stays"
    },
    "clock-scale": {
      type: "string",
      value: "N",
      default: "1",
      description: "let automations wait N times shorter than written"
    },
    "no-token": { type: "boolean", description: "answer anyone on this machine" }
  },
  positionals: [],
  run: ({ flags, json }) =>
    Effect.gen(function* () {
      const [Serve, Git] = yield* Effect.promise(() =>
        Promise.all([import("../../rehearsal/api/Serve.ts"), import("../../rehearsal/release/Git.ts")])
      )
      const told = Effect.mapError(
        (error: { readonly _tag: string; readonly message: string }) =>
          new CliError({ exitCode: exitCodes[error._tag] ?? ExitCode.toolFailed, message: error.message })
      )
      const { root } = yield* told(Git.open(process.cwd()))
      const cache = join(root, ".rehearsal")
      if (flags["down"] === true) {
        const ended = yield* told(Serve.down(cache))
        return { exitCode: ExitCode.passed, text: ended ? "Ended." : "Nothing runs.", json: { ended } }
      }
      if (flags["env"] === true) {
        const address = yield* told(Serve.address(cache))
        const lines = Serve.environment(address, Serve.folderOf(cache))
        const text = [...lines, `# The console: ${address.console}`].join("\n")
        return { exitCode: ExitCode.passed, text, json: lines }
      }
      const port = yield* numberOf("port", flags["port"], 0)
      const clockScale = yield* numberOf("clock-scale", flags["clock-scale"], 1)
      yield* told(
        Serve.serve(
          {
            root,
            cache,
            port,
            token: flags["no-token"] !== true,
            clockScale,
            hostEntry: join(import.meta.dirname, "..", "rehearsal-host.ts"),
            pushEntry: join(import.meta.dirname, "..", "rehearsal-push.ts")
          },
          (address) =>
            Effect.sync(() =>
              process.stdout.write(
                json
                  ? `${JSON.stringify({ url: address.url, console: address.console, remote: address.remote, pid: address.pid })}\n`
                  : `The console: ${address.console}\n` +
                      `Cloud Deploy at ${address.url}. In another terminal: eval "$(deliver serve --env)"\n` +
                      `To make a release by a push: git remote add rehearsal '${address.remote}', then git push rehearsal main\n` +
                      "Ctrl-C ends the server; pods and state stay for the next one, `deliver serve --down` ends them too.\n"
              )
            )
        ).pipe(Effect.mapError((error) => error))
      )
      return { exitCode: ExitCode.passed, text: "", json: {} }
    })
}
