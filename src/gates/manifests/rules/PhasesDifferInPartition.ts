import type { Finding } from "../../Evidence.ts"
import { type Rule, stepName } from "../Rule.ts"

/** Paths at which two values differ, as `spec.updateStrategy.rollingUpdate.partition`. */
export const differences = (a: unknown, b: unknown, path = ""): ReadonlyArray<string> => {
  if (Object.is(a, b)) return []
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return [path]
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...keys].flatMap((key) =>
    differences(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      path === "" ? key : `${path}.${key}`
    )
  )
}

const PARTITION = /^StatefulSet\/[^.]+\.spec\.updateStrategy\.rollingUpdate\.partition$/

/** The phases of a stage are one release: between them only the partition may move. */
export const phasesDifferInPartition: Rule = {
  name: "phases-differ-in-partition",
  covers: (set) => `${set.steps.filter(({ last }) => !last).length} steps to a next phase`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const [i, step] of set.steps.entries()) {
      const next = set.steps[i + 1]
      if (step.last || next === undefined) continue
      const byId = (objects: typeof step.objects) =>
        Object.fromEntries(objects.map((object) => [`${object.kind}/${object.metadata.name}`, object]))
      for (const path of differences(byId(step.objects), byId(next.objects))) {
        if (PARTITION.test(path)) continue
        findings.push({
          rule: "phases-differ-in-partition",
          severity: "hazard",
          what: `${step.overlay} and ${next.overlay} differ in more than the partition.`,
          where: `${stepName(set, step)} and ${stepName(set, next)}: ${path}`,
          why: "What was watched at one replica would not be what all of them get, and a changed pod template restarts the replica that is already updated.",
          fix: "Put the difference into the overlay that both share."
        })
      }
    }
    return findings
  }
}
