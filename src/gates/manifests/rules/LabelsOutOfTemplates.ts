import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { workloads } from "../Workload.ts"

const INJECTED = /^(skaffold\.dev\/|deploy\.cloud\.google\.com\/)/
const ONLY = ".metadata.labels"

/** Skaffold writes a fresh `skaffold.dev/run-id` into pod templates at every apply (GoogleContainerTools/skaffold#2745). */
export const labelsOutOfTemplates: Rule = {
  name: "labels-out-of-templates",
  covers: (set) => `${set.labelRules.length} rules of resourceSelector.allow`,
  check: (set) => {
    const findings: Array<Finding> = []
    const all = overlays(set).flatMap(({ overlay, objects }) =>
      workloads(objects).map((workload) => ({ overlay, workload }))
    )
    for (const kind of ["StatefulSet", "Deployment"]) {
      if (!all.some(({ workload }) => workload.kind === kind)) continue
      const rule = set.labelRules.find(({ groupKind }) => groupKind === `${kind}.apps`)
      if (rule?.labels?.length === 1 && rule.labels[0] === ONLY) continue
      findings.push({
        rule: "labels-out-of-templates",
        severity: "hazard",
        what:
          rule === undefined
            ? `skaffold.yaml lets labels into the pod templates of every ${kind}.`
            : `skaffold.yaml's rule for ${kind}.apps allows labels at ${rule.labels?.join(", ") ?? "every place"}.`,
        where: `skaffold.yaml: resourceSelector.allow, groupKind ${kind}.apps`,
        why: "Every apply writes a new random run-id there. Each phase would then make a new revision and restart pods that already run this release.",
        fix: `Allow exactly: {groupKind: ${kind}.apps, image: [".*"], labels: ["${ONLY}"]}. Not deny: it stops image substitution.`
      })
    }
    for (const { overlay, workload } of all) {
      for (const label of Object.keys(workload.templateLabels).filter((name) => INJECTED.test(name))) {
        findings.push({
          rule: "labels-out-of-templates",
          severity: "hazard",
          what: `The pod template of ${workload.id} carries the label ${label}.`,
          where: `${overlay}: ${workload.id} spec.template.metadata.labels`,
          why: "A label that changes with the release or the apply makes a new revision, and restarts every pod of an unchanged image.",
          fix: "Remove it; these tools label the object itself."
        })
      }
    }
    return findings
  }
}
