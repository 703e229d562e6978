import type { Finding } from "../../Evidence.ts"
import { type Rule, stepName } from "../Rule.ts"

const BEFORE = ["gate-workflows", "migrate"]
const AFTER = "record"

/** Every phase of every stage has the workflow gate and the migrations before it, the smoke run and the record after it. */
export const fences: Rule = {
  name: "fences",
  covers: (set) => `${set.steps.length} phases`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const step of set.steps) {
      const where = `clouddeploy/pipeline.yaml: ${stepName(set, step)}`
      const order = step.predeploy.filter((action) => BEFORE.includes(action))
      if (order.join() !== BEFORE.join()) {
        findings.push({
          rule: "fences",
          severity: "hazard",
          what: `Before ${stepName(set, step)} runs [${step.predeploy.join(", ")}]; it must hold ${BEFORE.join(" and then ")}.`,
          where: `${where}, predeploy.actions`,
          why: "Without the gate a release can strand what is in flight; after the migrations it is too late to ask.",
          fix: `predeploy: {actions: [${BEFORE.join(", ")}]}`
        })
      }
      if (!step.verify) {
        findings.push({
          rule: "fences",
          severity: "hazard",
          what: `Nothing is verified after ${stepName(set, step)}.`,
          where: `${where}, verify`,
          why: "The next step would begin although nobody has seen a run complete on this release.",
          fix: "verify: true"
        })
      }
      if (!step.postdeploy.includes(AFTER)) {
        findings.push({
          rule: "fences",
          severity: "hazard",
          what: `${stepName(set, step)} does not record the release.`,
          where: `${where}, postdeploy.actions`,
          why: "Later gates compare with the releases on record: one that is missing there is neither protected nor a rollback choice.",
          fix: `postdeploy: {actions: [${AFTER}]}`
        })
      }
    }
    return findings
  }
}
