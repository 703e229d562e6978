import { overlays, type Rule } from "../Rule.ts"
import { workloads } from "../Workload.ts"

/**
 * A partition that is not below `replicas` updates no pod, and `kubectl rollout status` says
 * "partitioned roll out complete: 0 new pods have been updated": a success.
 */
export const partitionBelowReplicas: Rule = {
  name: "partition-below-replicas",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) =>
    overlays(set).flatMap(({ overlay, objects }) =>
      workloads(objects).flatMap(({ kind, id, spec }) => {
        const partition = spec.updateStrategy?.rollingUpdate?.partition ?? 0
        if (kind !== "StatefulSet" || partition < spec.replicas) return []
        return [
          {
            rule: "partition-below-replicas",
            severity: "hazard" as const,
            what: `The partition of ${id} is ${partition}, with ${spec.replicas} replicas: no pod would be updated.`,
            where: `${overlay}: ${id} spec.updateStrategy.rollingUpdate.partition`,
            why: "Kubernetes reports such a rollout as complete, so the release would count as deployed while nothing runs it.",
            fix: `Set the partition to ${spec.replicas - 1} to update one replica, or to 0 to update all.`
          }
        ]
      })
    )
}
