/**
 * `make bench-starts`: how long a fresh process takes until it is of use, with what V8 compiled at an earlier start and without.
 * A runner: until it is ready. A gateway, beside a runner: until its first call is answered. By turns. Environment:
 *
 *     ROUNDS=7    how often each is started, each way
 *     KEEP=yes    what becomes of the figures: `yes` replaces `docs/performance/starts.json`, `no` only prints them
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { firstAnswer, gatewayPod, issuerAt } from "../support/gateway-pod.ts"
import { testImage } from "../support/image.ts"
import { databaseSecret, startPod } from "../support/pods.ts"
import { measuredCommit } from "./results.ts"
import { type Start, write } from "./starts-page.ts"
import { machine, median, number, print, world } from "./world.ts"

const rounds = number("ROUNDS", 7)
const AUDIENCE = "https://agent-gateway.test"

const program = Effect.gen(function* () {
  const place = yield* world
  const image = yield* testImage({ entries: ["runner", "gateway"] })
  const url = yield* place.migratedDatabase("starts")
  const secret = yield* databaseSecret(url)
  const issuer = yield* issuerAt(place.subnet.address(3), {
    tenant: "bench",
    subject: "bench",
    email: "bench@agents.test"
  })
  const token = yield* issuer.issue({ audience: AUDIENCE })
  const cache = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "agents-compiled-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )
  const compiled = (kept: boolean): Readonly<Record<string, string>> =>
    kept ? { NODE_COMPILE_CACHE: cache } : { NODE_DISABLE_COMPILE_CACHE: "1" }
  const runner = (ordinal: number, kept: boolean) =>
    startPod({
      image,
      program: "runner",
      name: `effect-agent-runtime-${ordinal}`,
      address: place.subnet.address(10 + ordinal),
      env: { DATABASE_SECRET_DIR: secret, LOG_LEVEL: "Warning", ...compiled(kept) }
    })
  const since = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const began = performance.now()
      return Effect.map(work, () => performance.now() - began)
    })
  /** It ends as it is told to, so that what was compiled is written. */
  const runnerReady = (ordinal: number, kept: boolean) =>
    Effect.gen(function* () {
      let end: Effect.Effect<unknown> = Effect.void
      const took = yield* since(
        Effect.flatMap(runner(ordinal, kept), (pod) => {
          end = Effect.zipRight(pod.signal("SIGTERM"), pod.exit)
          return pod.ready
        })
      )
      yield* end
      return took
    }).pipe(Effect.scoped)
  const untilAnswer = (ordinal: number, kept: boolean) =>
    Effect.gen(function* () {
      let end: Effect.Effect<unknown> = Effect.void
      const took = yield* since(
        Effect.gen(function* () {
          const gateway = yield* gatewayPod({
            image,
            ordinal,
            address: place.subnet.address(100 + ordinal),
            secret,
            issuer,
            audience: AUDIENCE,
            env: { LOG_LEVEL: "Warning", ...compiled(kept) }
          })
          end = Effect.zipRight(gateway.signal("SIGTERM"), gateway.exit)
          yield* gateway.ready
          yield* firstAnswer(gateway, token, `first-${ordinal}`)
        })
      )
      yield* end
      return took
    }).pipe(Effect.scoped)

  let ordinal = 0
  const both = (what: string, one: (ordinal: number, kept: boolean) => Effect.Effect<number, unknown>) =>
    Effect.gen(function* () {
      // Writes what the others read.
      yield* one(++ordinal, true)
      const millis = { kept: [] as number[], anew: [] as number[] }
      for (let round = 0; round < rounds; round++) {
        for (const kept of round % 2 === 0 ? [true, false] : [false, true]) {
          millis[kept ? "kept" : "anew"].push(Math.round(yield* one(++ordinal, kept)))
        }
      }
      yield* print(
        `${what.padEnd(40)} compiled before: ${median(millis.kept)} ms (${millis.kept.join(", ")})  anew: ${median(millis.anew)} ms (${millis.anew.join(", ")})`
      )
      return { what, ...millis } satisfies Start
    })

  const starts = [yield* both("a runner is ready", runnerReady)]
  const beside = yield* runner(++ordinal, true)
  yield* beside.ready
  starts.push(yield* both("a gateway's first call is answered", untilAnswer))
  if (process.env["KEEP"] === "no") return
  yield* Effect.promise(() =>
    write({
      day: new Date().toISOString().slice(0, 10),
      commit: measuredCommit(),
      machine: machine(),
      command: `make bench-starts ROUNDS=${rounds}`,
      starts
    })
  )
  yield* print("Kept. `make bench-page` writes docs/performance.md from what is kept.")
})

await Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stderr.write(`The measurement failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
process.exit(0)
