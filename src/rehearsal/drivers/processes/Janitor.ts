/** The rehearsal's side of `janitor.mjs`: nothing that the driver starts survives it. */
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { DriverFailed } from "../Driver.ts"

export interface Janitor {
  /** Goes into the environment of every process. */
  readonly mark: { readonly name: string; readonly value: string }
  readonly add: (group: number) => void
  readonly remove: (group: number) => void
}

const MARK = "REHEARSAL_PROCESS_MARK"

export const start: Effect.Effect<Janitor, DriverFailed, Scope.Scope> = Effect.gen(function* () {
  const value = randomUUID()
  const child = yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof spawn>, DriverFailed>((resume) => {
      const process_ = spawn(
        process.execPath,
        [fileURLToPath(new URL("janitor.mjs", import.meta.url)), `${MARK}=${value}`],
        // A group of its own, so that a signal to the rehearsal's group leaves it to do its work.
        { stdio: ["pipe", "ignore", "ignore"], detached: true, env: {} }
      )
      process_.once("spawn", () => resume(Effect.succeed(process_)))
      process_.once("error", (error) =>
        resume(
          new DriverFailed({
            message: `The process that cleans up after the rehearsal did not start: ${error.message}. Without it pods could survive a crash, so nothing was started. Is ${process.execPath} executable?`
          })
        )
      )
    }),
    (process_) => Effect.sync(() => process_.stdin?.end())
  )
  child.unref()
  const input = child.stdin
  // Writing after its death must not end the rehearsal; the scope's own finalizer still kills every group.
  input?.on("error", () => {})
  if (input !== null && "unref" in input && typeof input.unref === "function") input.unref()
  return {
    mark: { name: MARK, value },
    add: (group) => input?.write(`add ${group}\n`),
    remove: (group) => input?.write(`end ${group}\n`)
  }
})
