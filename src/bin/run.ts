/** Runs a command to its exit code. Ctrl-C interrupts it, so that it ends what it started, and a second one does not wait for that. */
import { Cause, Effect, Exit, Option } from "effect"
import { ExitCode } from "../domain/ExitCode.ts"

/** As shells say of a process that SIGINT ended. */
const INTERRUPTED = 130

export const run = (main: Effect.Effect<number, { readonly message: string; readonly exitCode: ExitCode }>): void => {
  const fiber = Effect.runFork(main)
  const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
  process.once("SIGINT", stop)
  process.once("SIGTERM", stop)
  fiber.addObserver((exit) => {
    process.off("SIGINT", stop)
    process.off("SIGTERM", stop)
    if (Exit.isSuccess(exit)) {
      process.exitCode = exit.value
      return
    }
    const failure = Cause.failureOption(exit.cause)
    if (Option.isSome(failure)) {
      process.stderr.write(`${failure.value.message}\n`)
      process.exitCode = failure.value.exitCode
    } else if (Cause.isInterruptedOnly(exit.cause)) {
      process.stderr.write("Stopped. Everything that was started has been ended.\n")
      process.exitCode = INTERRUPTED
    } else {
      process.stderr.write(
        `deliver failed; this is a defect of deliver, not of your release.\n${Cause.pretty(exit.cause)}\n`
      )
      process.exitCode = ExitCode.toolFailed
    }
  })
}
