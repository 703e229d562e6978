/** The load on `prod` while releases walk through it: k6 with `smoke/load.js`, and what it counted. */
import { spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import { Deferred, Effect, Schema, type Scope } from "effect"
import { ToolFailed } from "../Errors.ts"

/** What `smoke/load.js` writes at its end. Latencies in milliseconds. */
export class LoadSummary extends Schema.Class<LoadSummary>("LoadSummary")({
  requests: Schema.Int,
  requestsFailed: Schema.Int,
  runsAccepted: Schema.Int,
  runsCompleted: Schema.Int,
  /** Runs that did not end in a minute, as their client saw it. The database has the last word on what was lost. */
  runsUnfinished: Schema.Int,
  eventsDoubled: Schema.Int,
  eventsOutOfOrder: Schema.Int,
  p50: Schema.Number,
  p95: Schema.Number
}) {}

export interface SteadyLoad {
  /** What k6 said so far of requests that failed. */
  readonly complaints: () => ReadonlyArray<string>
  /** Ends the load as Ctrl-C would, waits for its runs to end, and reads what it counted. */
  readonly stop: Effect.Effect<LoadSummary, ToolFailed>
}

/** A bound for a load that nobody ends; k6 would otherwise stop after its own default in the middle of a slow rehearsal. */
const DURATION = "60m"
/** k6 finishes iterations under way before it ends; a run under a rollout may take a takeover's time. */
const STOP_TIMEOUT = "90 seconds"

export const start = (options: {
  readonly k6: string
  readonly script: string
  readonly summaryFile: string
  /** Started runs per second. */
  readonly rate: number
  readonly env: Readonly<Record<string, string>>
}): Effect.Effect<SteadyLoad, ToolFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number | null>()
    let output = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const process_ = spawn(options.k6, ["run", "--quiet", "--no-usage-report", "--address", "", options.script], {
          stdio: ["ignore", "pipe", "pipe"],
          // A group of its own: Ctrl-C reaches us, and we end it.
          detached: true,
          env: {
            ...process.env,
            ...options.env,
            RATE: String(options.rate),
            DURATION,
            SUMMARY_FILE: options.summaryFile
          }
        })
        const keep = (chunk: Buffer) => {
          output = (output + chunk.toString("utf8")).slice(-8_000)
        }
        process_.stdout.on("data", keep)
        process_.stderr.on("data", keep)
        process_.once("error", (error) => {
          output += error.message
          Deferred.unsafeDone(ended, Effect.succeed(null))
        })
        process_.once("exit", (code) => Deferred.unsafeDone(ended, Effect.succeed(code)))
        return process_
      }),
      (process_) =>
        Effect.sync(() => {
          if (process_.exitCode === null && process_.signalCode === null) process_.kill("SIGKILL")
        })
    )
    const failed = (why: string) =>
      new ToolFailed({
        message: `The load (k6 ${options.script}) ${why}:\n${output.trim().split("\n").slice(-12).join("\n")}`
      })
    return {
      complaints: () =>
        output
          .split("\n")
          .filter((line) => line.includes("level=error"))
          .slice(-10),
      stop: Effect.gen(function* () {
        if (yield* Deferred.isDone(ended)) return yield* failed("ended before it was told to")
        child.kill("SIGINT")
        yield* Deferred.await(ended).pipe(
          Effect.timeoutFail({ duration: STOP_TIMEOUT, onTimeout: () => failed(`did not end within ${STOP_TIMEOUT}`) })
        )
        const text = yield* Effect.tryPromise({
          try: () => readFile(options.summaryFile, "utf8"),
          catch: () => failed("left no summary")
        })
        return yield* Schema.decodeUnknown(Schema.parseJson(LoadSummary))(text).pipe(
          Effect.mapError((error) => failed(`left a summary that can't be read: ${error.message}`))
        )
      })
    }
  })
