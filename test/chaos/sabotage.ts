/**
 * Proves that the chaos schedules find what they are for: builds that break a promise are played until the checker says so.
 * `make test-chaos-checker`. Ends with 1 when one of them is not caught. `ONLY=fence` plays those that have the word.
 */
import { Effect, Scope } from "effect"
import type { StepEngineKind } from "../../src/runtime/Engine.ts"
import { type Edit, testImage } from "../support/image.ts"
import { fleet } from "./Fleet.ts"
import { check, type Violation } from "./History.ts"
import { play } from "./Play.ts"
import { type Scenario, scenario } from "./Scenario.ts"

const RUNNERS = 3
const AT_MOST = 25

interface Sabotage {
  readonly what: string
  readonly edits: ReadonlyArray<Edit>
  readonly rule: Violation["rule"]
  readonly engine?: StepEngineKind
  readonly schedule?: (seed: number) => Scenario
}

/** Six runs that are in a tool step of so many ms soon after they began. */
const runsInAStep = (seed: number, millis: number): Scenario["runs"] =>
  Array.from({ length: 6 }, (_, index) => ({
    at: 50 * index,
    run: `r${seed}-${index + 1}`,
    session: `s${seed}-${index + 1}`,
    message: `hello tokens:2 tool:wait=${millis}`
  }))

/**
 * The step of a runner ends while it is frozen. When it wakes up its successor is still at the same step, so that the word of
 * the stale owner would be the first.
 */
const frozenInAStep = (seed: number): Scenario => ({
  seed,
  runs: runsInAStep(seed, 9_000),
  faults: [{ kind: "freeze", runner: seed % RUNNERS, millis: 13_000, at: 2_000 }]
})

/** Of six runs in a tool step some are on the runner that is killed: they are rerun, and nothing else makes this sabotage show. */
const killedInAStep = (seed: number): Scenario => ({
  seed,
  runs: runsInAStep(seed, 4_000),
  faults: [{ kind: "kill", runner: seed % RUNNERS, downFor: 0, at: 2_500 }]
})

const sabotages: ReadonlyArray<Sabotage> = [
  {
    what: "a rerun of a tool step tells its events under new keys",
    edits: [
      {
        file: "src/agent/steps.ts",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of the source.
        find: "const step = `tool:${call.call}`",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of the source.
        replace: "const step = `tool:${call.call}:${Date.now()}`"
      }
    ],
    rule: "doubled",
    schedule: killedInAStep
  },
  {
    what: "an event is written after the run has ended",
    edits: [
      {
        file: "src/events/statements.ts",
        find: "and execution_id = $4 and finished_at is null",
        replace: "and execution_id = $4"
      }
    ],
    rule: "order"
  },
  {
    what: "a start is acknowledged and not carried out",
    edits: [
      {
        file: "src/agent/AgentLive.ts",
        find: "if (isOpen(accepted.run.status)) yield*",
        replace: "if (isOpen(accepted.run.status) && !runId.endsWith('1')) yield*"
      },
      // Who looks for forgotten runs would make up for it.
      { file: "src/runtime/RestartAccepted.ts", find: "const BATCH = 50", replace: "const BATCH = 0" }
    ],
    rule: "unfinished"
  },
  {
    what: "no fence: a runner that has lost the shard records its step all the same",
    edits: [
      { file: "src/runtime/journal/statements.ts", find: " and e.epoch = g.epoch", replace: "" },
      // Its first word is lost with the sessions that the watchdog ended, and the library cuts what would say it again.
      {
        file: "src/runtime/journal/Journal.ts",
        find: "restore(Effect.sleep(TRY_AGAIN))",
        replace: "Effect.sleep(TRY_AGAIN)"
      }
    ],
    rule: "owner",
    engine: "journal",
    schedule: frozenInAStep
  }
]

const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const caught = ({ what, edits, rule, engine, schedule }: Sabotage) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const image = yield* testImage({ edits })
    const stage = yield* fleet({ image, runners: RUNNERS, ...(engine && { engine }) }).pipe(Scope.extend(scope))
    for (let seed = 1; seed <= AT_MOST; seed++) {
      const { history } = yield* play(stage, schedule?.(seed) ?? scenario(seed, RUNNERS), { quietWithin: 20_000 })
      const found = check(history).find((violation) => violation.rule === rule)
      if (found === undefined) continue
      yield* print(
        `caught  ${what}\n        SEED=${seed}: ${found.rule} · ${found.where} · ${found.what.slice(0, 120)}`
      )
      return true
    }
    yield* print(`MISSED  ${what} (${AT_MOST} schedules)`)
    return false
  }).pipe(Effect.scoped)

const chosen = sabotages.filter(({ what }) => what.includes(process.env["ONLY"] ?? ""))
const results = await Effect.runPromise(Effect.forEach(chosen, caught, { concurrency: "unbounded" }))
process.exitCode = results.every((one) => one) ? 0 : 1
