import { overlays, type Rule } from "../Rule.ts"
import { workloads } from "../Workload.ts"

/** Skaffold reports a StatefulSet with OnDelete as rolled out at once, with no pod updated. */
export const rollingUpdate: Rule = {
  name: "rolling-update",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) =>
    overlays(set).flatMap(({ overlay, objects }) =>
      workloads(objects)
        .filter(({ kind, spec }) => kind === "StatefulSet" && spec.updateStrategy?.type !== "RollingUpdate")
        .map(({ id, spec }) => ({
          rule: "rolling-update",
          severity: "hazard" as const,
          what: `${id} has the update strategy ${spec.updateStrategy?.type ?? "(none written)"}.`,
          where: `${overlay}: ${id} spec.updateStrategy.type`,
          why: "With OnDelete nobody updates the pods, and Skaffold's status check still reports success.",
          fix: "Write type: RollingUpdate and step with the partition."
        }))
    )
}
