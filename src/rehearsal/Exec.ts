/** Runs a tool to its end. Interruption ends the tool. */
import { execFile } from "node:child_process"
import { Effect } from "effect"
import { ToolFailed } from "./Errors.ts"

const OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024

export interface ExecOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** The tool's standard output. A non-zero exit fails with the last lines of what it printed. */
export const exec = (
  command: string,
  args: ReadonlyArray<string>,
  options: ExecOptions = {}
): Effect.Effect<string, ToolFailed> =>
  Effect.async<string, ToolFailed>((resume, signal) => {
    execFile(
      command,
      [...args],
      {
        cwd: options.cwd,
        env: { ...process.env, ...options.env },
        maxBuffer: OUTPUT_LIMIT_BYTES,
        signal,
        encoding: "utf8"
      },
      (error, stdout, stderr) => {
        if (error === null) return resume(Effect.succeed(stdout))
        const said = `${stderr}\n${stdout}`.trim().split("\n").slice(-20).join("\n")
        resume(
          new ToolFailed({
            message:
              error.code === ("ENOENT" as unknown)
                ? `${command} was not found. Run "make setup", which installs it.`
                : `"${[command, ...args].join(" ")}"${options.cwd === undefined ? "" : ` in ${options.cwd}`} failed:\n${said}`
          })
        )
      }
    )
  })
