/** The server's side of the host: finds the one that runs, starts one where none does, and calls it. */
import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { mkdir, readFile, rm } from "node:fs/promises"
import { request } from "node:http"
import { join } from "node:path"
import { Data, Effect, Schedule, Schema } from "effect"
import { type Call, calls, HostAddress, type Request, type Response } from "./Host.ts"

/** The host did not answer, or said why it can't. */
export class HostFailed extends Data.TaggedError("HostFailed")<{ readonly message: string; readonly gone: boolean }> {}

export interface Host {
  readonly address: HostAddress
  readonly call: <C extends Call>(call: C, input: Request<C>) => Effect.Effect<Response<C>, HostFailed>
}

export const ADDRESS_FILE = "host.json"

/** Node's own client: `fetch` gives up on an answer after 300 s. */
const post = (address: HostAddress, call: Call, body: string) =>
  Effect.async<string, HostFailed>((resume) => {
    const sent = request(
      `${address.url}/${call}`,
      {
        method: "POST",
        headers: { authorization: `Bearer ${address.token}`, "content-length": Buffer.byteLength(body) }
      },
      (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk: string) => (text += chunk))
        response.on("end", () =>
          resume(
            response.statusCode === 200 ? Effect.succeed(text) : new HostFailed({ message: text.trim(), gone: false })
          )
        )
      }
    )
    sent.on("error", (error) =>
      resume(new HostFailed({ message: `The rehearsal's host does not answer: ${error.message}.`, gone: true }))
    )
    sent.end(body)
    return Effect.sync(() => sent.destroy())
  })

export const connect = (address: HostAddress): Host => ({
  address,
  call: (call, input) =>
    post(address, call, JSON.stringify(input)).pipe(
      Effect.flatMap((text) =>
        Schema.decodeUnknown(Schema.parseJson(calls[call][1] as Schema.Schema.AnyNoContext))(text).pipe(
          Effect.mapError(
            (error) => new HostFailed({ message: `The host answered ${call} with: ${error.message}`, gone: false })
          )
        )
      )
    ) as Effect.Effect<never, HostFailed>
})

/** The host of this folder, if one is alive. */
export const find = (folder: string): Effect.Effect<Host | undefined> =>
  Effect.tryPromise(() => readFile(join(folder, ADDRESS_FILE), "utf8")).pipe(
    Effect.flatMap(Schema.decodeUnknown(Schema.parseJson(HostAddress))),
    Effect.map(connect),
    Effect.tap((host) => host.call("alive", {})),
    Effect.orElseSucceed(() => undefined)
  )

/** Finds the folder's host or starts one. `entry` is the program of the host. It outlives this process. */
export const ensure = (options: {
  readonly folder: string
  readonly entry: string
  readonly args: ReadonlyArray<string>
}): Effect.Effect<Host, HostFailed> =>
  Effect.gen(function* () {
    const found = yield* find(options.folder)
    if (found !== undefined) return found
    yield* Effect.promise(() => mkdir(options.folder, { recursive: true, mode: 0o700 }))
    yield* Effect.promise(() => rm(join(options.folder, ADDRESS_FILE), { force: true }))
    const logFile = join(options.folder, "host.log")
    const child = yield* Effect.sync(() => {
      const log = openSync(logFile, "a", 0o600)
      const process_ = spawn(process.execPath, [options.entry, options.folder, ...options.args], {
        detached: true,
        stdio: ["ignore", log, log]
      })
      closeSync(log)
      process_.unref()
      return process_
    })
    return yield* find(options.folder).pipe(
      Effect.filterOrFail((host) => host !== undefined),
      Effect.retry({
        schedule: Schedule.spaced("50 millis").pipe(Schedule.upTo("60 seconds")),
        while: () => child.exitCode === null
      }),
      Effect.catchAll(() =>
        Effect.promise(() => readFile(logFile, "utf8").catch(() => "")).pipe(
          Effect.flatMap(
            (log) =>
              new HostFailed({
                gone: true,
                message: `The rehearsal's host did not start. Its last words, from ${logFile}:\n${log.trim().split("\n").slice(-10).join("\n")}`
              })
          )
        )
      )
    )
  })
