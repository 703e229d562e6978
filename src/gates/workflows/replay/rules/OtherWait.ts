import type { Execution } from "../../OpenWork.ts"
import type { Problem } from "../../Rule.ts"
import type { Trace } from "../Replay.ts"
import type { ReplayRule } from "../Rule.ts"
import type { Asked } from "../Session.ts"

/** Where the replay ended: what nobody has answered. */
export const frontier = ({ asked }: Trace): ReadonlyArray<Asked> =>
  asked.filter(({ answer }) => answer === "none" || answer === "begun")

const named = (asks: ReadonlyArray<{ readonly kind: string; readonly name: string }>) =>
  [...new Set(asks.map(({ kind, name }) => `${kind} ${name}`))].join(" and ")

const doubtful = (workflow: string, open: ReadonlyArray<string>, instead: string, at: string): Problem => ({
  rule: "replay-other-wait",
  severity: "undecided",
  subject: at === "" ? workflow : `${workflow} / ${at}`,
  what: `Open executions wait for ${named(open.map((name) => ({ kind: "deferred", name })))}, and the code of this release ${instead} there and never asks for the answer.`,
  why: "The answer that somebody was asked for is not read: what the execution does next no longer follows from it.",
  fix: "A person may let the release pass when nobody's answer is needed any more; else wait for the answer too, or add a new workflow version beside this one."
})

/**
 * Nothing of its own is under way, and it was not woken a moment ago: then it waits for an answer. What was recorded last tells of the
 * second: behind an answer or a clock that rang it may only not have gone on yet.
 */
const awaitsAnswer = ({ clocks, activities }: Execution, { asked }: Trace) => {
  const last = asked.findLast(({ answer }) => answer !== "none")
  return (
    clocks.length === 0 &&
    last?.kind === "activity" &&
    activities.every(
      ({ reply }) =>
        reply?._tag === "value" &&
        (reply.value as { readonly value?: { readonly _tag?: unknown } } | null)?.value?._tag === "Complete"
    )
  )
}

/**
 * A wait leaves no row before it ends, so what an execution waits for can't be read. But what it can't wait for is known: a
 * deferred that no release before has, a clock that has no row, a step that has not begun. Silent where the execution may wait for
 * just that.
 */
export const otherWait: ReplayRule = {
  name: "waits",
  how: "for what a release before may have left the execution waiting for",
  judge: ({ first, beyond }, execution, _declaration, left) => {
    const { workflow, state, deferreds } = execution
    if (left === undefined || left.queues || state !== "suspended") return []
    if (first.end !== "waiting" && first.end !== "completed") return []
    const pending = frontier(first)
    const answered = new Set(deferreds.map(({ name }) => name))
    const open = [...left.deferreds].filter((name) => !answered.has(name))
    if (open.length === 0) return []
    const news = ({ kind, name, answer }: Asked) =>
      answer === "none" &&
      (kind === "clock" ||
        kind === "activity" ||
        (kind === "deferred" && !name.includes("/") && !left.deferreds.has(name)))
    if (!pending.every(news)) return []
    const asksLater = beyond?.asked.some(({ kind, name }) => kind === "deferred" && open.includes(name))
    const steps = pending.filter(({ kind }) => kind === "activity")
    if (first.end === "completed" || steps.length > 0) {
      if (!awaitsAnswer(execution, first) || (first.end === "waiting" && asksLater !== false)) return []
      return [doubtful(workflow, open, steps.length === 0 ? "ends" : `begins ${named(steps)}`, named(steps))]
    }
    const deferred = pending.filter(({ kind }) => kind === "deferred")
    if (deferred.length > 0) {
      return [
        {
          rule: "replay-other-wait",
          severity: "hazard",
          subject: `${workflow} / ${named(deferred)}`,
          what: `Open executions wait for ${named(open.map((name) => ({ kind: "deferred", name })))}, and the code of this release waits for ${named(deferred)} there, which no release before has.`,
          why: "Who was asked gives the old answer, and nobody was asked for the new one: the executions stand still for ever.",
          fix: "Ask for the new answer after the old one, or by a step of its own; or add a new workflow version beside this one."
        } satisfies Problem
      ]
    }
    // A sleep that is put before the wait is only a sleep.
    return asksLater === false ? [doubtful(workflow, open, `sleeps on ${named(pending)}`, named(pending))] : []
  }
}
