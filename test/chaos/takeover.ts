/**
 * `make takeover`: measures each bound of A12 on three real runners, prints the figures, and ends with 1 when one is missed.
 * `ROUNDS=3` says how often each takeover is played; the worst round counts. `ONLY=sleep` measures what has that word;
 * without it `docs/takeover.md` is written.
 */
import { writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { fileURLToPath } from "node:url"
import { Effect, Scope } from "effect"
import { machine } from "../bench/world.ts"
import { testImage } from "../support/image.ts"
import { messageStorage, stepEngine } from "../support/message-storage.ts"
import { firstCall, pause, RUNNERS, sleeps } from "./Bounds.ts"
import { fleet } from "./Fleet.ts"
import { wholeNumber } from "./Scenario.ts"

const ROUNDS = wholeNumber("ROUNDS", 3)
const ONLY = process.env["ONLY"] ?? ""

interface Measured {
  readonly what: string
  readonly boundMillis: number
  readonly millis: ReadonlyArray<number>
}

const rounds = <E, R>(what: string, boundMillis: number, one: (round: number) => Effect.Effect<number, E, R>) =>
  Effect.forEach(
    Array.from({ length: what.includes(ONLY) ? ROUNDS : 0 }, (_, index) => index + 1),
    one
  ).pipe(
    Effect.map((millis): Measured => ({ what, boundMillis, millis })),
    Effect.tap(({ millis }) =>
      Effect.sync(() => {
        if (millis.length === 0) return
        const worst = Math.max(...millis)
        process.stdout.write(
          `${worst <= boundMillis ? "ok    " : "MISSED"} ${what.padEnd(52)} at most ${boundMillis} ms: ${millis.map(Math.round).join(", ")}\n`
        )
      })
    )
  )

const held = ({ boundMillis, millis }: Measured) => millis.every((one) => one <= boundMillis)

const page = (all: ReadonlyArray<Measured>, load: number) => `# Takeovers, sleeps and first calls

Written by \`make takeover\` (${new Date().toISOString().slice(0, 10)}): ${machine()}, load average ${load.toFixed(1)} before it
began, message storage \`${messageStorage}\`, step engine \`${stepEngine}\`. ${RUNNERS} runners, Postgres and the client share the processors.

A takeover is the longest pause between two events of a run whose steps take a tenth of a second, from the fault on: what its
user feels. Every round is shown, and the worst one counts.

| What | At most | Measured, ms | |
| --- | --- | --- | --- |
${all
  .map(
    (one) =>
      `| ${one.what} | ${one.boundMillis} ms | ${one.millis.map(Math.round).join(", ")} | ${held(one) ? "held" : "missed"} |`
  )
  .join("\n")}
`

const program = Effect.gen(function* () {
  const load = loadavg()[0] ?? 0
  const scope = yield* Effect.scope
  const image = yield* testImage({ entries: ["runner", "gateway"] })
  const stage = yield* fleet({ image, runners: RUNNERS }).pipe(Scope.extend(scope))
  const all = yield* Effect.all([
    rounds("the owner is killed (kill -9)", 3_000, (round) =>
      pause(stage, `kill-${round}`, (runner) => ({ kind: "kill", runner, downFor: 8_000 }))
    ),
    rounds("the owner is told to stop (SIGTERM), and comes back", 2_000, (round) =>
      pause(stage, `stop-${round}`, (runner) => ({ kind: "roll", runner }))
    ),
    rounds("the owner is frozen, and wakes up later", 15_000, (round) =>
      pause(stage, `freeze-${round}`, (runner) => ({ kind: "freeze", runner, millis: 20_000 }))
    ),
    rounds("the owner's machine loses power", 15_000, (round) =>
      pause(stage, `power-${round}`, (runner) => ({ kind: "power-cut", runner, downFor: 20_000 }))
    ),
    rounds("the database is away for 10 s: from its return", 5_000, (round) =>
      pause(stage, `away-${round}`, () => ({ kind: "restart-database", signal: "SIGQUIT", awayFor: 10_000 }), "return")
    ),
    rounds("a durable sleep ends late (worst of ten)", 1_000, (round) => sleeps(stage, round, 10)),
    rounds("the first call of a fresh gateway", 500, (round) => firstCall(stage, image, round))
  ]).pipe(Effect.provide(stage.client))
  if (ONLY === "") writeFileSync(fileURLToPath(new URL("../../docs/takeover.md", import.meta.url)), page(all, load))
  return all.every(held) ? 0 : 1
}).pipe(Effect.scoped)

process.exit(await Effect.runPromise(program))
