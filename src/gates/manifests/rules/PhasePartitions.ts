import { type Rule, stepName } from "../Rule.ts"
import { workloads } from "../Workload.ts"

/** The last phase must reach every pod, the phases before it must leave some with the old release. */
export const phasePartitions: Rule = {
  name: "phase-partitions",
  covers: (set) => `${set.steps.length} phases`,
  check: (set) =>
    set.steps.flatMap((step) =>
      workloads(step.objects).flatMap(({ kind, id, spec }) => {
        if (kind !== "StatefulSet") return []
        const partition = spec.updateStrategy?.rollingUpdate?.partition ?? 0
        if (step.last ? partition === 0 : partition > 0) return []
        return [
          {
            rule: "phase-partitions",
            severity: "hazard" as const,
            what: step.last
              ? `${id} keeps ${partition} pods on the old release after the last phase.`
              : `${id} is updated completely in a phase that others follow.`,
            where: `${stepName(set, step)} (${step.overlay}): ${id} spec.updateStrategy.rollingUpdate.partition`,
            why: step.last
              ? "The rollout would be recorded as done while old runners go on, and a rollback check would not know of them."
              : "The point of the phase is to see the new release next to the old one before it has everything.",
            fix: step.last ? "Set the partition to 0." : `Set the partition to ${spec.replicas - 1}.`
          }
        ]
      })
    )
}
