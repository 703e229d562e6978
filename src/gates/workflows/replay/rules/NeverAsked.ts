import { declaredName } from "../../../../surface/Declared.ts"
import type { BegunActivity } from "../../OpenWork.ts"
import type { Problem } from "../../Rule.ts"
import type { Replayed } from "../Replay.ts"
import type { ReplayRule } from "../Rule.ts"

/** Recorded, and not asked for even beyond the frontier. Without a sound replay nothing follows from silence. */
export const lost = ({ first, forgotten, late }: Replayed): ReadonlyArray<BegunActivity> =>
  first.end === "stuck" || first.end === "endless" ? [] : forgotten.filter((each) => !late.includes(each))

/** What this release begins anew before it is where the execution was. */
export const begunAnew = ({ first }: Replayed): ReadonlyArray<string> => [
  ...new Set(
    first.asked
      .filter(({ kind, answer }) => kind === "activity" && answer === "none")
      .map(({ name }) => declaredName(name))
  )
]

/** Work that is recorded, and that the code of this release does not ask for, though it still declares it. */
export const neverAsked: ReplayRule = {
  name: "recorded work",
  how: "all of it asked for again",
  judge: (replayed, { workflow, activities }) => {
    const anew = begunAnew(replayed)
    return lost(replayed).map(({ name, attempt }): Problem => {
      const declared = declaredName(name)
      const earlier = attempt > 1 && activities.some((each) => each.name === name && each.attempt < attempt)
      return {
        rule: "replay-never-asked",
        severity: anew.length > 0 || earlier ? "hazard" : "undecided",
        subject: `${workflow} / activity ${declared}`,
        what: earlier
          ? `Open executions are past attempt ${attempt} of activity ${declared}, and the code of this release gives up before it.`
          : `Open executions have done activity ${declared}, and the code of this release never asks for it${
              anew.length > 0 ? `: it begins ${anew.join(", ")} instead` : ""
            }.`,
        why: earlier
          ? "The execution would fail with an error that it had already overcome."
          : anew.length > 0
            ? "Recorded work is found by name. What runs instead is done a second time, with all its effects."
            : "What was done is recorded and would be passed over. Nothing runs in its place, so nothing need run twice; but what the execution does next no longer follows from it.",
        fix: earlier
          ? `Keep the number of retries of ${declared} until these executions end, or add a new workflow version beside this one.`
          : anew.length > 0
            ? `Ask for ${declared} where it was asked for. To change the steps, add a new workflow version beside this one and let these executions end.`
            : "A person may let the release pass when the step may be forgotten; else keep it until these executions end."
      }
    })
  }
}
