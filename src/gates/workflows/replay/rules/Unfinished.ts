import type { Problem } from "../../Rule.ts"
import type { ReplayRule } from "../Rule.ts"

/** A timeout around a wait, for one. */
const besides = (workflow: string): Problem => ({
  rule: "replay-sleeps-in-memory",
  severity: "undecided",
  subject: workflow,
  what: `The function of ${workflow} sleeps in memory beside what it waits for.`,
  why: "The execution leaves the memory while it waits, and the sleep with it: it never ends, or starts over each time the execution is resumed.",
  fix: "Race the wait with a declared clock, or leave the timeout to an activity."
})

/** A replay that came to no end: nothing follows from it. */
export const unfinished: ReplayRule = {
  name: "replays",
  how: "ended at work to be done, or at the result",
  judge: ({ first }, { workflow }) => {
    if (first.end === "waiting" && first.asleep) return [besides(workflow)]
    if (first.end !== "stuck" && first.end !== "endless") return []
    const endless = first.end === "endless"
    return [
      {
        rule: "replay-unfinished",
        severity: endless ? "hazard" : "undecided",
        subject: workflow,
        what: endless
          ? `The function of ${workflow} does not come to rest: it was cut off.`
          : `The function of ${workflow} waits for something that is neither an activity, a deferred nor a clock.`,
        why: endless
          ? "A runner that resumes it would be busy with it for ever."
          : "A sleep or a promise of its own is not recorded: the wait starts over each time the execution is resumed.",
        fix: endless ? "Look for a loop without a step in it." : "Use a declared clock, or move it into an activity."
      } satisfies Problem
    ]
  }
}
