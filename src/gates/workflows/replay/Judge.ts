/** Asks the replay's rules about executions that no other rule has anything against, within a budget of time. */
import { Clock, Duration, Effect } from "effect"
import type { AnyDeclaration } from "../../../surface/Declared.ts"
import type { Check, Finding } from "../../Evidence.ts"
import type { Execution } from "../OpenWork.ts"
import type { Problem } from "../Rule.ts"
import { Children } from "./Children.ts"
import type { Replayer } from "./Replay.ts"
import type { Left, ReplayRule } from "./Rule.ts"

/** Hooks are given ten minutes; what is left over is said, and left to a person. */
const BUDGET = Duration.minutes(5)

export interface Judge {
  readonly judge: (execution: Execution, declaration: AnyDeclaration) => Effect.Effect<ReadonlyArray<Problem>>
  /** What was not replayed for want of time. */
  readonly findings: () => ReadonlyArray<Finding>
  readonly checks: (open: number) => ReadonlyArray<Check>
}

const notRegistered = (workflow: string): Problem => ({
  rule: "replay-not-registered",
  severity: "hazard",
  subject: workflow,
  what: `Workflow ${workflow} has open executions; this release declares it, and registers no handler for it.`,
  why: "A runner that doesn't know a workflow answers its messages with a permanent failure in the end: the executions are lost.",
  fix: `Provide the layer of ${workflow} where the others are provided.`
})

export const make = (
  replayer: Replayer,
  rules: ReadonlyArray<ReplayRule>,
  left: (execution: Execution) => Left | undefined
): Effect.Effect<Judge> =>
  Effect.map(Clock.currentTimeMillis, (start) => {
    const end = start + Duration.toMillis(BUDGET)
    let replayed = 0
    let twice = 0
    let over = 0
    const children = new Children()
    return {
      judge: (execution, declaration) =>
        Effect.gen(function* () {
          if (!replayer.registered(execution.workflow)) return [notRegistered(execution.workflow)]
          if ((yield* Clock.currentTimeMillis) > end) {
            over++
            return []
          }
          const result = yield* replayer.replay(execution, declaration)
          if (result === undefined) return []
          replayed++
          if (result.second !== result.first) twice++
          children.replayed(execution, result.first)
          return [
            ...children.judge(execution),
            ...rules.flatMap((rule) => rule.judge(result, execution, declaration, left(execution)))
          ]
        }),
      findings: () =>
        over === 0
          ? []
          : [
              {
                rule: "replay-budget",
                severity: "undecided",
                what: `${over} open executions were not replayed: ${Duration.toMinutes(BUDGET)} minutes were over.`,
                where: "open executions",
                why: "What was not replayed may hold what the others do not.",
                fix: "Let a person look at what was replayed, or run the gate when fewer executions are open."
              }
            ],
      checks: (open) => [
        {
          name: "replay",
          result: `${replayed} of ${open} open executions, ${twice === replayed ? "each twice" : `${twice} of them twice`}, with this release's own code; nothing was carried out`
        },
        ...rules.map(({ name, how }) => ({ name: `replay: ${name}`, result: how })),
        { name: "replay: children", result: "each open one asked for by the execution that started it" }
      ]
    }
  })
