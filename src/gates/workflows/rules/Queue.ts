import { Effect, Either } from "effect"
import { queueOf } from "../../../surface/Declared.ts"
import { all, decodesExit, type ExecutionRule, fine, type Problem, readable } from "../Rule.ts"

/** An answered item of a queue, of an open execution, that this release does not declare or whose answer it can't read. */
export const queue: ExecutionRule = {
  name: "queues",
  how: "those with answers declared, answers decoded",
  judge: ({ workflow, deferreds }, { declarations }) => {
    const declaration = declarations.get(workflow)
    if (declaration === undefined) return fine
    const judged = deferreds.map(({ name: answered, exit }) => {
      const name = queueOf(answered)
      if (name === undefined) return fine
      const declared = Object.values(declaration.queues).find((each) => each.name === name)
      if (declared === undefined) return Effect.succeed([gone(workflow, name)])
      const { successSchema, errorSchema } = declared.deferred
      const read = decodesExit(successSchema, errorSchema, exit)
      return read === readable
        ? fine
        : Effect.map(read, Either.match({ onLeft: (why) => [unreadable(workflow, name, why)], onRight: () => [] }))
    })
    return all(judged)
  }
}

const gone = (workflow: string, name: string): Problem => ({
  rule: "queue-gone",
  severity: "hazard",
  subject: `${workflow} / queue ${name}`,
  what: `Open executions of ${workflow} have answered items of queue ${name}, and this release does not declare it.`,
  why: "An item is known by its queue's name and its key. Under another name the item is handed to a worker a second time, with all its effects.",
  fix: `Keep the name ${name} in ${workflow}, and a worker for it, until these executions end.`
})

const unreadable = (workflow: string, name: string, detail: string): Problem => ({
  rule: "queue-result",
  severity: "hazard",
  subject: `${workflow} / queue ${name}`,
  what: `Answers recorded for items of queue ${name} can't be read by this release.`,
  why: "The execution reads the answer when it goes on, and then fails for good.",
  fix: `Let the schemas of ${name} read the old form too, or declare the new form under a new name in a new workflow version.`,
  detail
})
