/**
 * One container as a process group.
 *
 * SIGTERM goes to the first process alone, as a container runtime has it; SIGKILL to the whole group. When the first process ends the rest of the
 * group is killed, as the kernel does with a container's process namespace.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { appendFileSync, renameSync, statSync } from "node:fs"
import { createInterface } from "node:readline"
import { Deferred, Effect } from "effect"
import type { Janitor } from "./Janitor.ts"

export interface Command {
  readonly executable: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

export interface ContainerExit {
  /** 128 + n for a process that signal n ended, as a shell has it. */
  readonly exitCode: number
  /** Why it could not even start. */
  readonly startError?: string
}

export interface ContainerProcess {
  readonly pid: number | undefined
  readonly exited: Effect.Effect<ContainerExit>
  readonly terminate: () => void
  /** SIGKILL to the group. Harmless when it is gone. */
  readonly kill: () => void
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15
}

export const killGroup = (pid: number) => {
  try {
    process.kill(-pid, "SIGKILL")
  } catch {
    // Gone already.
  }
}

/** Output waits in the pipe while the process is dead; after this long whoever still holds the pipe is ignored. */
const DRAIN_MS = 1000

export const run = (command: Command, janitor: Janitor, onLine: (line: string) => void): ContainerProcess => {
  const exit = Effect.runSync(Deferred.make<ContainerExit>())
  const finish = (result: ContainerExit) => Deferred.unsafeDone(exit, Effect.succeed(result))
  let child: ChildProcess
  try {
    child = spawn(command.executable, command.args, {
      cwd: command.cwd,
      env: { ...command.env, [janitor.mark.name]: janitor.mark.value },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"]
    })
  } catch (cause) {
    // For example an argument with a NUL byte.
    finish({ exitCode: 128, startError: cause instanceof Error ? cause.message : String(cause) })
    return { pid: undefined, exited: Deferred.await(exit), terminate: () => {}, kill: () => {} }
  }
  const { pid } = child
  let ended = false
  if (pid !== undefined) janitor.add(pid)
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", onLine)
  }
  child.once("error", (error) => {
    if (pid === undefined) finish({ exitCode: 127, startError: error.message })
  })
  child.once("exit", (code, signal) => {
    ended = true
    if (pid !== undefined) {
      killGroup(pid)
      janitor.remove(pid)
    }
    const result = { exitCode: code ?? 128 + (SIGNALS[signal ?? ""] ?? 0) }
    const timer = setTimeout(() => finish(result), DRAIN_MS)
    child.once("close", () => {
      clearTimeout(timer)
      finish(result)
    })
  })
  return {
    pid,
    exited: Deferred.await(exit),
    terminate: () => {
      if (!ended) child.kill("SIGTERM")
    },
    kill: () => {
      if (pid !== undefined && !ended) killGroup(pid)
    }
  }
}

/** The file is renamed when it passes this, so a chatty pod takes at most twice as much. */
const MAX_LOG_BYTES = 20_000_000

/** Appends lines to a file; the previous part is kept as `<path>.1`. */
export const logFile = (path: string): ((line: string) => void) => {
  let bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  return (line) => {
    try {
      if (bytes > MAX_LOG_BYTES) {
        renameSync(path, `${path}.1`)
        bytes = 0
      }
      appendFileSync(path, `${line}\n`)
      bytes += line.length + 1
    } catch {
      // A full disk, or last words after the folder was removed: the lines in memory are all there is.
    }
  }
}
