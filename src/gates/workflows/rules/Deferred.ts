import { Effect, Either } from "effect"
import { all, decodesExit, type ExecutionRule, fine, type Problem, readable } from "../Rule.ts"

const CLOCK = "DurableClock/"
/** Cancellation, written by the engine itself. Answers of queues are judged by their own rule. */
const INTERRUPT = "Workflow/InterruptSignal"
const ofTheLibrary = (name: string) => name === INTERRUPT || /^(raceAll|DurableQueue|Activity)\//.test(name)

/** An answer that is recorded for an open execution, under a name this release does not declare, or that it can't read. */
export const deferred: ExecutionRule = {
  name: "answers",
  how: "deferreds declared, exits decoded",
  judge: ({ workflow, deferreds }, { declarations }) => {
    const declaration = declarations.get(workflow)
    if (declaration === undefined) return fine
    if (deferreds.length === 0) return fine
    const clocks = new Set(Object.values(declaration.clocks).map(({ name }) => name))
    const judged = deferreds.map(({ name, exit }) => {
      if (ofTheLibrary(name)) return fine
      if (name.startsWith(CLOCK)) return Effect.succeed(clockGone(workflow, name.slice(CLOCK.length), clocks, "rung"))
      const declared = Object.values(declaration.deferreds).find((each) => each.name === name)
      if (declared === undefined) return Effect.succeed([gone(workflow, name)])
      const read = decodesExit(declared.successSchema, declared.errorSchema, exit)
      return read === readable
        ? fine
        : Effect.map(read, Either.match({ onLeft: (why) => [unreadable(workflow, name, why)], onRight: () => [] }))
    })
    return all(judged)
  }
}

const gone = (workflow: string, name: string): Problem => ({
  rule: "deferred-gone",
  severity: "hazard",
  subject: `${workflow} / deferred ${name}`,
  what: `Open executions of ${workflow} have an answer to deferred ${name}, and this release does not declare it.`,
  why: "The answer was accepted from whoever gave it. Under another name it is never read: the execution waits for one that was already given.",
  fix: `Keep the name ${name} in ${workflow} until these executions end.`
})

const unreadable = (workflow: string, name: string, detail: string): Problem => ({
  rule: "deferred-result",
  severity: "hazard",
  subject: `${workflow} / deferred ${name}`,
  what: `Answers recorded for deferred ${name} can't be read by this release.`,
  why: "The execution reads the answer when it goes on, and then fails for good; the first answer counts, so another can't mend it.",
  fix: `Let the schema of ${name} read the old form too, or declare the new form under a new name in a new workflow version.`,
  detail
})

export const clockGone = (
  workflow: string,
  name: string,
  declared: ReadonlySet<string>,
  state: "rung" | "running"
): ReadonlyArray<Problem> =>
  declared.has(name)
    ? []
    : [
        {
          rule: "clock-gone",
          severity: "hazard",
          subject: `${workflow} / clock ${name}`,
          what: `Open executions of ${workflow} ${state === "rung" ? "have slept on" : "sleep on"} clock ${name}, and this release does not declare it.`,
          why: "The sleep is recorded by name. Under another name the execution sleeps again, from the start.",
          fix: `Keep the name ${name} in ${workflow} until these executions end.`
        }
      ]
