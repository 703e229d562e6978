/**
 * Workflows that a workflow starts and waits for. They are executions of their own, found by an id that is made of their payload: code
 * that gives another payload starts another one beside the one that runs, and nobody asks for that one's answer any more.
 *
 * A parent began before its children, and executions are judged in the order of their starts: so the parent's replay has told
 * by then what it asks for.
 */
import type { Execution } from "../OpenWork.ts"
import type { Problem } from "../Rule.ts"
import type { Trace } from "./Replay.ts"

const keyOf = (workflow: string, executionId: string) => `${workflow}/${executionId}`

/** Where the library notes who started an execution. */
const parentOf = ({ payload }: Execution): { readonly workflow: string; readonly executionId: string } | undefined => {
  const value = payload._tag === "value" ? payload.value : undefined
  const parent = (value as { readonly "~@effect/workflow/parent"?: unknown } | null | undefined)?.[
    "~@effect/workflow/parent"
  ] as { readonly workflowName?: unknown; readonly executionId?: unknown } | null | undefined
  return typeof parent?.workflowName === "string" && typeof parent.executionId === "string"
    ? { workflow: parent.workflowName, executionId: parent.executionId }
    : undefined
}

export class Children {
  /** Of each parent that asks for any. */
  private readonly asked = new Map<string, ReadonlySet<string>>()

  replayed({ workflow, executionId }: Execution, { asked }: Trace): void {
    const keys = asked.flatMap((ask) => (ask.kind === "workflow" ? [keyOf(ask.name, ask.id ?? "")] : []))
    if (keys.length > 0) this.asked.set(keyOf(workflow, executionId), new Set(keys))
  }

  judge(child: Execution): ReadonlyArray<Problem> {
    const parent = parentOf(child)
    if (parent === undefined) return []
    const asked = this.asked.get(keyOf(parent.workflow, parent.executionId))
    if (asked === undefined || asked.has(keyOf(child.workflow, child.executionId))) return []
    return [
      {
        rule: "replay-other-child",
        severity: "hazard",
        subject: `${parent.workflow} / workflow ${child.workflow}`,
        what: `Open executions of ${parent.workflow} have started workflow ${child.workflow}, and the code of this release asks for another execution there.`,
        why: "The other one is started beside the one that runs: its work is done twice, and the answer of the one that runs is never asked for.",
        fix: `Give ${child.workflow} the payload that it was started with, or add a new version of ${parent.workflow} beside this one.`
      }
    ]
  }
}
