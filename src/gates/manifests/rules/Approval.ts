import type { Rule } from "../Rule.ts"

/** The last target of the pipeline is where users are: a person lets a release in. */
export const approval: Rule = {
  name: "approval",
  covers: (set) => set.steps.at(-1)?.target ?? "no stage",
  check: (set) => {
    const target = set.steps.at(-1)?.target
    if (target === undefined || set.approvals[target] === true) return []
    return [
      {
        rule: "approval",
        severity: "hazard",
        what: `Target ${target} is the last one, and asks for no approval.`,
        where: `clouddeploy/targets.yaml: ${target}, requireApproval`,
        why: "Any promotion, also one by automation, would reach users at once.",
        fix: "requireApproval: true"
      }
    ]
  }
}
