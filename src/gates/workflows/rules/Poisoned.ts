import { Effect } from "effect"
import { type ExecutionRule, fine, type Problem } from "../Rule.ts"

/** Executions that are lost already, and rows that can't be read: no release changes that, but somebody should know. */
export const poisoned: ExecutionRule = {
  name: "lost executions",
  how: "dead ones and damaged rows noted",
  judge: ({ workflow, state, diedOf, damaged }) => {
    const found: Array<Problem> = []
    if (state === "dead") {
      found.push({
        rule: "poisoned",
        severity: "note",
        subject: workflow,
        what: `Executions of ${workflow} are dead: the engine answered their start with a permanent failure.`,
        why: "They do not go on by themselves under any release, and their callers get the failure.",
        fix: "Once a release that carries them runs: delete the failed reply of the run message and set it to unprocessed; it then resumes without doing finished work again.",
        ...(diedOf === undefined ? {} : { detail: diedOf })
      })
    }
    for (const what of damaged) {
      found.push({
        rule: "damaged-row",
        severity: "undecided",
        subject: workflow,
        what: `A row of an open execution of ${workflow} is damaged, or too long to be read.`,
        why: "What it held can't be told, so whether this release can go on from it can't be told either.",
        fix: "Repair the row from a backup when it is damaged; else let the execution end, or cancel it. Then run the gate again.",
        detail: what
      })
    }
    return found.length === 0 ? fine : Effect.succeed(found)
  }
}
