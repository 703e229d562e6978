/**
 * `make bench-admission`: what a gateway does at five times what can be worked off (B5), on a Postgres of its own. Environment:
 *
 *     OPEN=8      runs that the tenant may have open: it is kept full while the sustainable rate is measured
 *     CROWDED=32  the same once more with so many open that the processors have no time left: shown, not judged
 *     SECONDS=15  how long that rate is measured, and the load then lasts
 *     ALONE=60    starts one at a time, for the time of a start without load
 *     TIMES=5     how many times the sustainable rate is asked for, evenly, whatever becomes of the starts before
 *
 * A run waits half a second in a tool, as real ones wait for models: otherwise the processors of one machine, which clients,
 * gateway, runner and Postgres share here, are all that is measured. Writes `docs/admission.md`, and ends with 1 when the p95
 * of accepted starts is above twice that without load, a run that was let in does not end, or an answer is neither 202 nor a
 * 429 that says when to come again.
 */
import { writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { fileURLToPath } from "node:url"
import { Effect, Either } from "effect"
import pg from "pg"
import { readRunner } from "../../src/runtime/Settings.ts"
import { gatewayPod, issuerAt, startRun } from "../support/gateway-pod.ts"
import { testImage } from "../support/image.ts"
import { databaseSecret, startPod } from "../support/pods.ts"
import { until } from "../support/wait.ts"
import { machine, number, print, quantile, world } from "./world.ts"

const TENANT = "bench"
const AUDIENCE = "https://bench.test"
const MESSAGE = "tool:wait=500"
const FACTOR = 2

const open = number("OPEN", 8)
const crowded = number("CROWDED", 32)
const seconds = number("SECONDS", 15)
const alone = number("ALONE", 60)
const times = number("TIMES", 5)

interface Answer {
  readonly status: number
  readonly retryAfter: string | null
  readonly millis: number
}

/** What one gateway did, with so many runs allowed to be open. */
interface Measured {
  readonly open: number
  readonly alone: ReadonlyArray<Answer>
  readonly perSecond: number
  readonly answers: ReadonlyArray<Answer>
  readonly completed: number
}

const accepted = (answers: ReadonlyArray<Answer>) => answers.filter(({ status }) => status === 202)
const refused = (answers: ReadonlyArray<Answer>) =>
  answers.filter(({ status, retryAfter }) => status === 429 && Number(retryAfter) > 0)
const p95 = (answers: ReadonlyArray<Answer>) =>
  quantile(
    accepted(answers).map(({ millis }) => millis),
    0.95
  )
const factor = ({ alone, answers }: Measured) => p95(answers) / p95(alone)
const others = ({ answers }: Measured) => answers.length - accepted(answers).length - refused(answers).length
const allEnded = ({ answers, completed }: Measured) => completed === accepted(answers).length && completed > 0
const held = (one: Measured) => allEnded(one) && others(one) === 0 && factor(one) <= FACTOR

const rows: ReadonlyArray<readonly [what: string, of: (one: Measured) => string]> = [
  ["runs that the tenant may have open", (one) => String(one.open)],
  ["p95 of a start, one at a time", (one) => `${p95(one.alone).toFixed(1)} ms (${accepted(one.alone).length} starts)`],
  ["worked off with all of these open", (one) => `${one.perSecond.toFixed(1)} runs/s`],
  ["asked for", (one) => `${one.answers.length} starts in ${seconds} s, ${times} times as many`],
  ["let in", (one) => String(accepted(one.answers).length)],
  ["of these completed", (one) => String(one.completed)],
  ["p95 of a start that was let in", (one) => `${p95(one.answers).toFixed(1)} ms, ${factor(one).toFixed(2)} times`],
  ["refused with 429 and `Retry-After`", (one) => String(refused(one.answers).length)],
  ["anything else", (one) => String(others(one))]
]
const table = (all: ReadonlyArray<Measured>) =>
  rows.map(([what, of]) => `| ${[what, ...all.map(of)].join(" | ")} |`).join("\n")

const program = Effect.gen(function* () {
  const load = loadavg()[0] ?? 0
  const { subnet, server, migratedDatabase } = yield* world
  const url = yield* migratedDatabase("bench")
  const image = yield* testImage({ entries: ["gateway", "runner"] })
  const subject = { tenant: TENANT, subject: "bench", email: "bench@agents.test" }
  const issuer = yield* issuerAt(subnet.address(3), subject)
  const secret = yield* databaseSecret(url)
  const name = "effect-agent-runtime-0"
  const address = subnet.address(10)
  const env = { DATABASE_SECRET_DIR: secret }
  const runner = yield* startPod({ image, program: "runner", name, address, env })
  const { messageStorage, stepEngine } = Either.getOrThrow(
    readRunner({ POD_NAME: name, RUNNER_HOST: address, LISTEN_HOST: address, ...env })
  )
  yield* runner.ready
  const token = yield* issuer.issue({ audience: AUDIENCE })
  const pool = new pg.Pool({ connectionString: server.url("bench"), max: 2 })
  yield* Effect.addFinalizer(() => Effect.promise(() => pool.end()))
  const counts = Effect.promise(async () => {
    const { rows } = await pool.query<{ open: number; completed: number }>(
      `select count(*) filter (where status not in ('completed', 'failed', 'cancelled'))::int as open,
              count(*) filter (where status = 'completed')::int as completed from agents.runs`
    )
    return rows[0] ?? { open: 0, completed: 0 }
  })
  const allEnd = until("all that was let in ends", counts, (now) => now.open === 0, "60 seconds")

  let started = 0
  const measure = (allowed: number, index: number) =>
    Effect.gen(function* () {
      const gateway = yield* gatewayPod({
        ...{ image, secret, issuer },
        ordinal: index,
        address: subnet.address(100 + index),
        audience: AUDIENCE,
        env: {
          TENANT_OPEN_RUNS: String(allowed),
          // All clients are one user at one address here; the bound that is measured is that of open runs.
          ADDRESS_REQUESTS_PER_SECOND: "100000",
          USER_REQUESTS_PER_SECOND: "100000",
          TENANT_REQUESTS_PER_SECOND: "100000"
        }
      })
      yield* gateway.ready
      const start = Effect.gen(function* () {
        const runId = `r${started++}`
        const began = performance.now()
        const { status, headers } = yield* startRun(gateway, token, { runId, message: MESSAGE })
        return { status, retryAfter: headers.get("retry-after"), millis: performance.now() - began } satisfies Answer
      })
      // Not counted: the first ones compile the code.
      yield* Effect.replicateEffect(Effect.zipLeft(start, allEnd), 10)
      const unloaded = yield* Effect.replicateEffect(Effect.zipLeft(start, allEnd), alone)

      const before = yield* counts
      const fullSince = performance.now()
      while (performance.now() - fullSince < seconds * 1_000) {
        const now = yield* counts
        yield* Effect.all(
          Array.from({ length: Math.max(0, allowed - now.open) }, () => start),
          { concurrency: "unbounded" }
        )
        yield* Effect.sleep("20 millis")
      }
      const perSecond = ((yield* counts).completed - before.completed) / ((performance.now() - fullSince) / 1_000)
      yield* allEnd

      const completedBefore = (yield* counts).completed
      const asked = Math.round(perSecond * times * seconds)
      const answers = yield* Effect.forEach(
        Array.from({ length: asked }, (_, turn) => turn),
        (turn) => Effect.delay(start, (turn / asked) * seconds * 1_000),
        { concurrency: "unbounded" }
      )
      yield* Effect.either(allEnd)
      const completed = (yield* counts).completed - completedBefore
      return { open: allowed, alone: unloaded, perSecond, answers, completed }
    }).pipe(Effect.scoped)

  const judged = yield* measure(open, 0)
  yield* print(table([judged]))
  const full = yield* measure(crowded, 1)
  yield* print(table([full]))
  const verdict = held(judged) ? "B5 held" : "B5 was missed"
  yield* print(verdict)
  writeFileSync(
    fileURLToPath(new URL("../../docs/admission.md", import.meta.url)),
    `# Admission under load

Written by \`make bench-admission\` (${new Date().toISOString().slice(0, 10)}): ${machine()}, message storage \`${messageStorage}\`, step engine \`${stepEngine}\`. The load average before it began was
${load.toFixed(1)}${load > 2 ? ": other work took part of the processors. Write this page anew on a quiet machine" : ""}. One gateway, one runner, their clients and Postgres share the processors. A run waits half a second in a
tool and writes all of its events; starts come evenly, whatever became of those before.

| What | Judged | All processors taken |
| --- | --- | --- |
${table([judged, full])}

${verdict} with ${open} runs open: the p95 of accepted starts at most ${FACTOR} times that without load, all of what was let in ends, all else is a 429.

The other column allows more than these processors can work on. ${
      allEnded(full) && others(full) === 0
        ? "Nothing is lost there either and nothing is a 5xx"
        : "There B5 does not hold"
    }; but whoever is let in shares a
processor with all the others, and waits. So \`TENANT_OPEN_RUNS\` and \`QUEUE_DEPTH\` (all runs under way) are to be set by what
runners can work off, not by what tenants wish for.
`
  )
  return held(judged) ? 0 : 1
}).pipe(Effect.scoped)

process.exit(await Effect.runPromise(program))
