/** Jobs by key, on disk: one runs once, however often it is asked for and whoever is killed in between. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Deferred, Effect, Fiber, type Scope } from "effect"
import type { Cluster, JobOptions, KubeObject } from "../drivers/Driver.ts"
import type { JobOutcome } from "./Host.ts"

/** As a container that SIGKILL ended. */
const KILLED = 137
const STOPPED = 143

interface Entry {
  readonly ended: Deferred.Deferred<JobOutcome>
  readonly lines: Array<string>
  fiber?: Fiber.RuntimeFiber<unknown>
}

export interface JobTable {
  readonly start: (
    key: string,
    cluster: Cluster,
    job: KubeObject,
    options: Omit<JobOptions, "onLine">
  ) => Effect.Effect<void>
  readonly outcome: (key: string, waitMs: number) => Effect.Effect<JobOutcome | null>
  readonly lines: (key: string, from: number) => Effect.Effect<ReadonlyArray<string>>
  readonly stop: (key: string) => Effect.Effect<void>
}

const failed = (exitCode: number, log: ReadonlyArray<string>, stopped = false): JobOutcome => ({
  exitCode,
  durationMs: 0,
  timedOut: false,
  stopped,
  log
})

/** Opens the folder's table. A Job that ran when the last host died has ended with it: nothing begins again by itself. */
export const open = (folder: string): Effect.Effect<JobTable, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const entries = new Map<string, Entry>()
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const file = (key: string) => join(folder, `${encodeURIComponent(key)}.json`)
    // A rename makes it visible: a record is whole or it is not there.
    const write = (key: string, outcome: JobOutcome | null) => {
      const path = file(key)
      writeFileSync(`${path}.new`, JSON.stringify({ outcome }), { mode: 0o600 })
      renameSync(`${path}.new`, path)
    }
    const read = (key: string): JobOutcome | null | undefined =>
      existsSync(file(key)) ? JSON.parse(readFileSync(file(key), "utf8")).outcome : undefined

    for (const name of readdirSync(folder).filter((entry) => entry.endsWith(".json"))) {
      const key = decodeURIComponent(name.slice(0, -".json".length))
      if (read(key) === null) write(key, failed(KILLED, ["rehearsal: the host was killed while this Job ran"]))
    }

    return {
      start: (key, cluster, job, options) =>
        Effect.gen(function* () {
          if (entries.has(key) || read(key) !== undefined) return
          write(key, null)
          const entry: Entry = { ended: yield* Deferred.make<JobOutcome>(), lines: [] }
          entries.set(key, entry)
          const end = (outcome: JobOutcome) =>
            Effect.sync(() => write(key, outcome)).pipe(
              Effect.zipRight(Deferred.succeed(entry.ended, outcome)),
              Effect.zipRight(Effect.sync(() => entries.delete(key)))
            )
          entry.fiber = yield* cluster.runJob(job, { ...options, onLine: (line) => void entry.lines.push(line) }).pipe(
            Effect.matchEffect({
              onSuccess: (outcome) => end({ ...outcome, stopped: false }),
              onFailure: (error) => end(failed(1, [...entry.lines, error.message]))
            }),
            Effect.onInterrupt(() => end(failed(STOPPED, [...entry.lines, "rehearsal: terminated"], true))),
            Effect.forkIn(scope)
          )
        }),
      outcome: (key, waitMs) =>
        Effect.suspend(() => {
          const entry = entries.get(key)
          if (entry === undefined) return Effect.succeed(read(key) ?? null)
          return Deferred.await(entry.ended).pipe(
            Effect.timeoutOption(waitMs),
            Effect.map((outcome) => (outcome._tag === "Some" ? outcome.value : null))
          )
        }),
      lines: (key, from) => Effect.sync(() => (entries.get(key)?.lines ?? read(key)?.log ?? []).slice(from)),
      stop: (key) =>
        Effect.suspend(() => {
          const fiber = entries.get(key)?.fiber
          return fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interruptFork(fiber))
        })
    } satisfies JobTable
  })
