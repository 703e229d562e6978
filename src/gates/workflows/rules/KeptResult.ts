import { Effect, Either } from "effect"
import { decodesExit, fine, type Problem, type ResultRule, readable } from "../Rule.ts"

/** What an ended execution answered and somebody may still ask for: it must decode with this release's schemas. */
export const keptResult: ResultRule = {
  name: "finished results",
  how: "those that may still be asked for decoded",
  judge: ({ workflow, exit }, { declarations }) => {
    const declared = declarations.get(workflow)?.workflow
    if (declared === undefined) return fine
    if (exit._tag === "damaged") return Effect.succeed([damaged(workflow, exit.why)])
    const read = decodesExit(declared.successSchema, declared.errorSchema, exit.value)
    if (read === readable) return fine
    const part = (exit.value as { readonly _tag?: unknown } | undefined)?._tag === "Success" ? "success" : "error"
    return Effect.map(read, Either.match({ onLeft: (why) => [unreadable(workflow, part, why)], onRight: () => [] }))
  }
}

const unreadable = (workflow: string, part: "success" | "error", detail: string): Problem => ({
  rule: `workflow-${part}`,
  severity: "hazard",
  subject: workflow,
  what: `Finished executions of ${workflow} have ${part === "success" ? "results" : "failures"} that this release can't read, and that may still be asked for.`,
  why: "An open parent that is resumed, a gateway whose run has not ended, or whoever starts the same work again asks for what was recorded, and gets a permanent failure.",
  fix: `Let the ${part} schema of ${workflow} read the old form too, or give the new form to a new workflow version.`,
  detail
})

const damaged = (workflow: string, detail: string): Problem => ({
  rule: "damaged-result",
  severity: "undecided",
  subject: workflow,
  what: `The result of a finished execution of ${workflow} that may still be asked for is damaged, or too long to be read.`,
  why: "Of what the gate has not read, nobody can say that this release reads it.",
  fix: "Repair the row from a backup when it is damaged; else let a person look at it.",
  detail
})
