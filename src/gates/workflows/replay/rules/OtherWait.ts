import type { Problem } from "../../Rule.ts"
import type { Trace } from "../Replay.ts"
import type { ReplayRule } from "../Rule.ts"
import type { Asked } from "../Session.ts"

/** Where the replay ended: what nobody has answered. */
export const frontier = ({ asked }: Trace): ReadonlyArray<Asked> =>
  asked.filter(({ answer }) => answer === "none" || answer === "begun")

const named = (asks: ReadonlyArray<{ readonly kind: string; readonly name: string }>) =>
  [...new Set(asks.map(({ kind, name }) => `${kind} ${name}`))].join(" and ")

/**
 * A wait leaves no row before it ends, so what an execution waits for can't be read. But what it can't wait for is known: a
 * deferred that no release before has, and a clock that has no row. Silent where the execution may wait for just that.
 */
export const otherWait: ReplayRule = {
  name: "waits",
  how: "for what a release before may have left the execution waiting for",
  judge: ({ first, beyond }, { workflow, state, deferreds }, _declaration, left) => {
    if (left === undefined || left.queues || state !== "suspended" || first.end !== "waiting") return []
    const pending = frontier(first)
    const news = ({ kind, name, answer }: Asked) =>
      answer === "none" &&
      (kind === "clock" || (kind === "deferred" && !name.includes("/") && !left.deferreds.has(name)))
    if (!pending.every(news)) return []
    const answered = new Set(deferreds.map(({ name }) => name))
    const open = [...left.deferreds].filter((name) => !answered.has(name))
    if (open.length === 0) return []
    const waits = named(open.map((name) => ({ kind: "deferred", name })))
    const deferred = pending.filter(({ kind }) => kind === "deferred")
    if (deferred.length > 0) {
      return [
        {
          rule: "replay-other-wait",
          severity: "hazard",
          subject: `${workflow} / ${named(deferred)}`,
          what: `Open executions wait for ${waits}, and the code of this release waits for ${named(deferred)} there, which no release before has.`,
          why: "Who was asked gives the old answer, and nobody was asked for the new one: the executions stand still for ever.",
          fix: "Ask for the new answer after the old one, or by a step of its own; or add a new workflow version beside this one."
        } satisfies Problem
      ]
    }
    // A sleep that is put before the wait is only a sleep.
    if (beyond?.asked.some(({ kind, name }) => kind === "deferred" && open.includes(name)) !== false) return []
    return [
      {
        rule: "replay-other-wait",
        severity: "undecided",
        subject: `${workflow} / ${named(pending)}`,
        what: `Open executions wait for ${waits}, and the code of this release sleeps on ${named(pending)} there and never asks for the answer.`,
        why: "The answer that somebody was asked for is not read: what the execution does next no longer follows from it.",
        fix: "A person may let the release pass when nobody's answer is needed any more; else wait for the answer too, or add a new workflow version beside this one."
      } satisfies Problem
    ]
  }
}
