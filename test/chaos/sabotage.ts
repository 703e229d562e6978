/**
 * Proves that the chaos schedules find what they are for: builds that break a promise are played until the checker says so.
 * `make test-chaos-checker`. Ends with 1 when one of them is not caught.
 */
import { Effect, Scope } from "effect"
import { type Edit, testImage } from "../support/image.ts"
import { fleet } from "./Fleet.ts"
import { check, type Violation } from "./History.ts"
import { play } from "./Play.ts"
import { scenario } from "./Scenario.ts"

const RUNNERS = 3
const AT_MOST = 25

interface Sabotage {
  readonly what: string
  readonly edit: Edit
  readonly rule: Violation["rule"]
}

const sabotages: ReadonlyArray<Sabotage> = [
  {
    what: "a rerun of a tool step tells its events under new keys",
    edit: {
      file: "src/agent/steps.ts",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of the source.
      find: "const step = `tool:${call.call}`",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of the source.
      replace: "const step = `tool:${call.call}:${Date.now()}`"
    },
    rule: "doubled"
  },
  {
    what: "an event is written after the run has ended",
    edit: {
      file: "src/events/statements.ts",
      find: "and execution_id = $4 and finished_at is null",
      replace: "and execution_id = $4"
    },
    rule: "order"
  },
  {
    what: "a start is acknowledged and not carried out",
    edit: {
      file: "src/agent/AgentLive.ts",
      find: "if (isOpen(accepted.run.status)) yield*",
      replace: "if (isOpen(accepted.run.status) && !runId.endsWith('1')) yield*"
    },
    rule: "unfinished"
  }
]

const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const caught = ({ what, edit, rule }: Sabotage) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const image = yield* testImage({ edits: [edit] })
    const stage = yield* fleet({ image, runners: RUNNERS }).pipe(Scope.extend(scope))
    for (let seed = 1; seed <= AT_MOST; seed++) {
      const { history } = yield* play(stage, scenario(seed, RUNNERS), { quietWithin: 20_000 })
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

const results = await Effect.runPromise(Effect.forEach(sabotages, caught, { concurrency: "unbounded" }))
process.exitCode = results.every((one) => one) ? 0 : 1
