import { overlays, type Rule } from "../Rule.ts"
import { envValue, workloads } from "../Workload.ts"

/** Connections that pods may hold together. The instance serves about 200; jobs, people and a restart's overlap need the rest. */
export const CONNECTION_BUDGET = 120
/** A runner holds one more than its pool: the session that its shard locks belong to. */
const RUNNER_EXTRA = 1
/** During its own rollout a Deployment runs one pod more (maxSurge 1). */
const SURGE = 1

/** Pods times pool stays under what the database can serve. */
export const connectionBudget: Rule = {
  name: "connection-budget",
  covers: (set) => `${overlays(set).length} overlays, at most ${CONNECTION_BUDGET} connections each`,
  check: (set) =>
    overlays(set).flatMap(({ overlay, objects }) => {
      const parts = workloads(objects)
        .filter(({ lasting }) => lasting)
        .flatMap(({ id, kind, spec, pod }) =>
          pod.containers.map((container) => {
            const pool = Number(envValue(objects, container, "DATABASE_POOL_MAX"))
            const perPod = kind === "StatefulSet" ? pool + RUNNER_EXTRA : pool
            const pods = kind === "Deployment" ? spec.replicas + SURGE : spec.replicas
            return { id, pods, perPod, total: pods * perPod }
          })
        )
      const total = parts.reduce((sum, part) => sum + part.total, 0)
      if (total <= CONNECTION_BUDGET) return []
      return [
        {
          rule: "connection-budget",
          severity: "hazard" as const,
          what: Number.isNaN(total)
            ? "A pod has no DATABASE_POOL_MAX, so its connections can't be counted."
            : `The pods may open ${total} connections; ${CONNECTION_BUDGET} are planned for.`,
          where: `${overlay}: ${parts.map(({ id, pods, perPod }) => `${id} ${pods} x ${perPod}`).join(", ")}`,
          why: "Over the limit Postgres refuses connections: first to whoever restarts, which is the runner that should take over.",
          fix: "Lower the pools in agent-config or the replicas, or move to a larger instance and raise the budget with it."
        }
      ]
    })
}
