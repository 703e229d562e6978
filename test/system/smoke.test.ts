import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Stack, stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const k6 = (() => {
  const folders = [join(root, ".tools"), ...(process.env["PATH"] ?? "").split(delimiter)]
  const found = folders.map((folder) => join(folder, "k6")).find((file) => existsSync(file))
  if (found === undefined) throw new Error("k6 is neither in .tools nor on PATH: run `make setup`, which builds it.")
  return found
})()

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a script of `smoke/`; `during` may send it a signal. */
const run = <R = never>(
  script: string,
  env: Readonly<Record<string, string>>,
  during: (signal: (name: NodeJS.Signals) => void) => Effect.Effect<void, never, R> = () => Effect.void
) =>
  Effect.gen(function* () {
    let stdout = ""
    let stderr = ""
    const child = spawn(k6, ["run", "--quiet", "--no-usage-report", "--no-color", join(root, "smoke", script)], {
      env: { PATH: process.env["PATH"], HOME: tmpdir(), ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    child.stdout.on("data", (chunk) => (stdout += chunk))
    child.stderr.on("data", (chunk) => (stderr += chunk))
    const code = new Promise<number | null>((resolve) => child.once("close", resolve))
    yield* during((signal) => child.kill(signal)).pipe(Effect.onError(() => Effect.sync(() => child.kill("SIGKILL"))))
    return { code: yield* Effect.promise(() => code), stdout, stderr } satisfies Ended
  })

const lastLine = (ended: Ended) => JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "null") as object

const three = (made: Stack) =>
  Effect.all([made.runner(0), made.runner(1), made.runner(2)], { concurrency: "unbounded" })

it.scopedLive(
  "the smoke run passes: socket cut, runner killed, every event once",
  () =>
    Effect.gen(function* () {
      const made = yield* stack
      yield* three(made)
      const gateway = yield* made.gateway(0)
      const ended = yield* run("release.js", made.smokeEnv(gateway.url))
      expect(ended, ended.stdout + ended.stderr).toMatchObject({ code: 0 })
      expect(lastLine(ended)).toMatchObject({
        passed: true,
        failed: [],
        runnersKilled: 1,
        socketsCut: 1,
        burstAccepted: 20
      })
    }),
  180_000
)

it.scopedLive(
  "the smoke run fails, saying which expectation, when a step of it does",
  () =>
    Effect.gen(function* () {
      const made = yield* stack
      yield* made.runner(0)
      const gateway = yield* made.gateway(0)
      const env = { ...made.smokeEnv(gateway.url), SMOKE_KILL: "off" }
      const wrong = yield* run("release.js", { ...env, SMOKE_MESSAGE: "no approval is asked for tokens:30 slow:20" })
      expect(wrong.code).toBe(99)
      expect(lastLine(wrong)).toMatchObject({
        passed: false,
        failed: ["one approval was asked for, given and recorded"]
      })
      const noToken = yield* run("release.js", { ...env, GCE_METADATA_HOST: "127.0.0.1:1" })
      expect(noToken.code).not.toBe(0)
      expect(noToken.stderr).toContain("The metadata server 127.0.0.1:1 gave no token")
    }),
  120_000
)

it.scopedLive(
  "the load counts nothing failed, lost or doubled while a runner is killed and both gateways are replaced, and ends at SIGINT",
  () =>
    Effect.gen(function* () {
      const made = yield* stack
      yield* three(made)
      const service = yield* made.service
      const old = yield* Effect.all([made.gateway(0), made.gateway(1)], { concurrency: 2 })
      for (const { address } of old) service.endpoints.add(address)
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "load-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
      )
      const summaryFile = join(folder, "summary.json")
      const count = (status: string) =>
        made.database
          .query<{ many: number }>(
            "select count(*)::int as many from agents.runs where session_id like 'load-%' and status like $1",
            [status]
          )
          .pipe(Effect.map(([row]) => row?.many ?? 0))
      const untilMore = (more: number) =>
        Effect.flatMap(count("completed"), (now) =>
          until(`${more} more runs complete`, count("completed"), (many) => many >= now + more, "60 seconds")
        )
      const ended = yield* run(
        "load.js",
        { ...made.smokeEnv(service.url), RATE: "2", DURATION: "5m", SUMMARY_FILE: summaryFile },
        (signal) =>
          Effect.gen(function* () {
            yield* untilMore(5)
            yield* made.kill("effect-agent-runtime-1")
            yield* untilMore(5)
            for (const [index, gateway] of old.entries()) {
              service.endpoints.add((yield* made.gateway(2 + index)).address)
              // As in a cluster: out of the Service first (preStop waits for that), then SIGTERM.
              service.endpoints.delete(gateway.address)
              yield* gateway.signal("SIGTERM")
              expect(yield* gateway.exit).toBe(0)
              yield* untilMore(3)
            }
            signal("SIGINT")
          }).pipe(Effect.orDie)
      )
      const summary = JSON.parse(yield* Effect.promise(() => readFile(summaryFile, "utf8"))) as Record<string, number>
      expect(summary, ended.stderr).toMatchObject({
        requestsFailed: 0,
        runsUnfinished: 0,
        eventsDoubled: 0,
        eventsOutOfOrder: 0
      })
      expect(summary["runsCompleted"]).toBeGreaterThan(10)
      expect(summary["runsAccepted"]).toBeLessThanOrEqual(yield* count("%"))
      // Also those whose iteration was broken off by the signal: what was accepted ends.
      yield* until(
        "every accepted run completes",
        made.database.query("select run_id, status from agents.runs where status <> 'completed'"),
        (open) => open.length === 0,
        // A start that was cut between its two writes is found again within 25 s.
        "60 seconds"
      )
    }),
  240_000
)
