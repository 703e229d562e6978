/**
 * `make stack`: what `docker compose up` starts, without Docker. `docker-compose.yml` is read, nothing of it is repeated here.
 *
 *   node tools/stack.ts [--once] [--file docker-compose.yml]
 *
 * Stays until Ctrl-C. With `--once` it starts a run through the edge, and ends: with 0 when the run has completed. Ends with 1 when a service fails, with 2 when it was called wrongly, with 12 when the file can't be carried out.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { Cause, Effect, Exit, Option } from "effect"
import { ExitCode } from "../src/domain/ExitCode.ts"
import * as GatewayClient from "../src/drills/GatewayClient.ts"
import { type Compose, ComposeRefused, readCompose } from "./stack/Compose.ts"
import { type Stack, StackFailed, start } from "./stack/Stack.ts"

const say = (service: string, line: string) => process.stdout.write(`${service.padEnd(9)}| ${line}\n`)
const end = (code: number, message: string): never => {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}

const options = (() => {
  try {
    return parseArgs({
      options: { once: { type: "boolean", default: false }, file: { type: "string", default: "docker-compose.yml" } }
    }).values
  } catch (cause) {
    return end(ExitCode.usage, `${(cause as Error).message}\nUsage: node tools/stack.ts [--once] [--file FILE]`)
  }
})()

const compose: Compose = (() => {
  try {
    return readCompose(readFileSync(options.file, "utf8"))
  } catch (cause) {
    const why = cause instanceof ComposeRefused ? cause.message : String(cause)
    return end(ExitCode.preconditionMissing, `${options.file} can't be run without Docker:\n${why}`)
  }
})()

/** The path of Google's metadata server, which the issuer serves. */
const TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/identity?audience="

const RUN_WITHIN_MS = 60_000

const httpOf = (stack: Stack, service: string) => {
  const { environment = {} } = compose.services[service] ?? {}
  return `http://${stack.address(service)}:${environment["HTTP_PORT"] ?? environment["PORT"]}`
}
const audience = compose.services["edge"]?.environment["USER_AUDIENCE"] ?? ""

/** As a user: with a token of the issuer, through the edge. */
const oneRun = (stack: Stack) =>
  Effect.gen(function* () {
    const token = yield* Effect.tryPromise({
      try: async () => {
        const from = `${httpOf(stack, "issuer")}${TOKEN_PATH}${audience}`
        const answer = await fetch(from, {
          headers: { "Metadata-Flavor": "Google" },
          signal: AbortSignal.timeout(10_000)
        })
        if (!answer.ok) throw new Error(`it answered ${answer.status}`)
        return answer.text()
      },
      catch: (cause) => new StackFailed({ message: `The issuer gave no token: ${String(cause)}` })
    })
    const user = GatewayClient.make({ baseUrl: httpOf(stack, "edge"), token: Effect.succeed(token) })
    const { runId } = yield* user.startRun({ sessionId: "once", runId: "once", message: "hello" })
    yield* user.waitFor(runId, "completed", RUN_WITHIN_MS)
    say("run", `completed, with ${yield* user.written(runId)} events`)
  })

const usage = (stack: Stack) =>
  [
    `edge      ${httpOf(stack, "edge")}`,
    `gateway   ${httpOf(stack, "gateway")}`,
    `issuer    ${httpOf(stack, "issuer")}`,
    "",
    `  TOKEN=$(curl -sH 'Metadata-Flavor: Google' '${httpOf(stack, "issuer")}${TOKEN_PATH}${audience}')`,
    `  curl -sH "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' ${httpOf(stack, "edge")}/agents/s1/runs -d '{"runId":"r1","message":"hello"}'`,
    `  curl -sH "Authorization: Bearer $TOKEN" ${httpOf(stack, "edge")}/runs/r1/events`,
    "",
    "Ctrl-C ends all of it, and nothing is kept."
  ].join("\n")

const main = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "agents-stack-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const stack = yield* start(compose, folder, say)
  if (options.once) return yield* Effect.raceFirst(oneRun(stack), stack.watch)
  process.stdout.write(`\n${usage(stack)}\n`)
  return yield* stack.watch
}).pipe(Effect.scoped)

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  disablePrettyLogger: true,
  teardown: (exit, onExit) => {
    if (Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause)) return onExit(0)
    const failure = Option.getOrElse(Cause.failureOption(exit.cause), () => Cause.squash(exit.cause))
    process.stderr.write(`${failure instanceof Error ? failure.message : String(failure)}\n`)
    onExit(ExitCode.toolFailed)
  }
})
