import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { budgets, workloads } from "../Workload.ts"

const most = (value: number | string | undefined, replicas: number): number =>
  typeof value === "string" && value.endsWith("%")
    ? Math.ceil((Number(value.slice(0, -1)) / 100) * replicas)
    : Number(value)

/** Whoever drains a node takes one pod at a time, and can take one. */
export const disruptionBudgets: Rule = {
  name: "disruption-budgets",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const { overlay, objects } of overlays(set)) {
      const all = budgets(objects)
      for (const { id, lasting, namespace, spec, templateLabels } of workloads(objects)) {
        if (!lasting) continue
        const own = all.filter(
          (budget) =>
            budget.namespace === namespace &&
            Object.entries(budget.selector).every(([label, value]) => templateLabels[label] === value)
        )
        const budget = own[0]
        const free =
          budget?.maxUnavailable !== undefined
            ? most(budget.maxUnavailable, spec.replicas)
            : spec.replicas - most(budget?.minAvailable, spec.replicas)
        const what =
          own.length === 0
            ? `${id} has no disruption budget.`
            : own.length > 1
              ? `${id} has ${own.length} disruption budgets: ${own.map(({ name }) => name).join(", ")}.`
              : free < 1
                ? `The disruption budget ${budget!.name} lets no pod of ${id} go.`
                : free > 1 && free >= spec.replicas
                  ? `The disruption budget ${budget!.name} lets all ${spec.replicas} pods of ${id} go at once.`
                  : undefined
        if (what === undefined) continue
        findings.push({
          rule: "disruption-budgets",
          severity: "hazard",
          what,
          where: `${overlay}: PodDisruptionBudget of ${id}`,
          why:
            own.length > 0 && free < 1
              ? "A node that is upgraded waits for it in vain, and GKE then takes the pod without asking."
              : own.length > 1
                ? "Kubernetes evicts no pod that two budgets hold: a node can't be drained."
                : "A node upgrade may end all of its pods at once, and their shards have nobody to go to.",
          fix: "Give it one PodDisruptionBudget with maxUnavailable: 1, whose selector is that of its pods."
        })
      }
    }
    return findings
  }
}
