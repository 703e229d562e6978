/** `make stack`: the compose file as processes. */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { until } from "../support/wait.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))

const stack = (...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    let output = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["tools/stack.ts", ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
      ),
      (started) => Effect.sync(() => started.kill("SIGKILL"))
    )
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk))
    const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)))
    return {
      output: () => output,
      said: (words: string) =>
        until(
          `"${words}"`,
          Effect.sync(() => output),
          (text) => text.includes(words),
          "60 seconds"
        ),
      interrupt: Effect.sync(() => child.kill("SIGINT")),
      ended: Effect.promise(() => ended)
    }
  })

const accepts = (host: string, port: number) =>
  Effect.async<boolean>((resume) => {
    const socket = connect(port, host)
    socket.once("connect", () => resume(Effect.sync(() => Boolean(socket.destroy()))))
    socket.once("error", () => resume(Effect.succeed(false)))
  })

it.scopedLive(
  "starts what the compose file says, completes a run through the edge and leaves nothing behind",
  () =>
    Effect.gen(function* () {
      const one = yield* stack("--once")
      const code = yield* one.ended
      expect(one.output()).toMatch(/^run +\| completed, with \d+ events$/m)
      expect(code).toBe(0)
      const [, host = ""] = /postgres \| listens on ([\d.]+):5432/.exec(one.output()) ?? []
      expect(yield* accepts(host, 5432)).toBe(false)
    }),
  120_000
)

it.scopedLive(
  "ends all of it at Ctrl-C, with 0",
  () =>
    Effect.gen(function* () {
      const one = yield* stack()
      const text = yield* one.said("applied")
      const [, host = ""] = /postgres \| listens on ([\d.]+):5432/.exec(text) ?? []
      expect(yield* accepts(host, 5432)).toBe(true)
      yield* one.interrupt
      expect(yield* one.ended).toBe(0)
      expect(yield* accepts(host, 5432)).toBe(false)
    }),
  120_000
)

it.scopedLive(
  "says which service failed and what it said, and ends the others",
  () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "agents-compose-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const file = join(folder, "docker-compose.yml")
      const text = readFileSync(join(root, "docker-compose.yml"), "utf8")
      writeFileSync(
        file,
        text.replace("runtime-password: { content: runtime }", "runtime-password: { content: wrong }")
      )
      const one = yield* stack("--once", "--file", file)
      expect(yield* one.ended).toBe(1)
      expect(one.output()).toMatch(/^runner (ended with|was not healthy)/m)
    }),
  120_000
)
