import { overlays, type Rule } from "../Rule.ts"
import { envValue, type KubeObject, workloads } from "../Workload.ts"

/** In agent-config, written there from the database's tier: infra/budget.ts says how a tier's connections are shared out. */
const BUDGET = "DATABASE_CONNECTIONS"
/** A runner holds one more than its pool: the session that its shard locks belong to. */
const RUNNER_EXTRA = 1
/** During its own rollout a Deployment runs one pod more (maxSurge 1). */
const SURGE = 1

const budgetOf = (objects: ReadonlyArray<KubeObject>): number =>
  Number(
    objects
      .filter(({ kind }) => kind === "ConfigMap")
      .map((object) => (object["data"] as Readonly<Record<string, string>> | undefined)?.[BUDGET])
      .find((value) => value !== undefined)
  )

/** As many as an autoscaler may make of a workload. */
const mostReplicas = (objects: ReadonlyArray<KubeObject>, id: string): number =>
  Math.max(
    0,
    ...objects.flatMap(({ kind, spec }) => {
      if (kind !== "HorizontalPodAutoscaler") return []
      const { maxReplicas, scaleTargetRef: target } = spec as {
        readonly maxReplicas: number
        readonly scaleTargetRef: { readonly kind: string; readonly name: string }
      }
      return `${target.kind}/${target.name}` === id ? [maxReplicas] : []
    })
  )

/** Pods times pool stays under what the database can serve. */
export const connectionBudget: Rule = {
  name: "connection-budget",
  covers: (set) =>
    overlays(set)
      .map(({ overlay, objects }) => `${overlay} ${budgetOf(objects)}`)
      .join(", "),
  check: (set) =>
    overlays(set).flatMap(({ overlay, objects }) => {
      const budget = budgetOf(objects)
      const parts = workloads(objects)
        .filter(({ lasting }) => lasting)
        .flatMap(({ id, kind, spec, pod }) =>
          pod.containers.map((container) => {
            const pool = Number(envValue(objects, container, "DATABASE_POOL_MAX"))
            const perPod = kind === "StatefulSet" ? pool + RUNNER_EXTRA : pool
            const replicas = Math.max(spec.replicas, mostReplicas(objects, id))
            const pods = kind === "Deployment" ? replicas + SURGE : replicas
            return { id, pods, perPod, total: pods * perPod }
          })
        )
      const total = parts.reduce((sum, part) => sum + part.total, 0)
      if (total <= budget) return []
      return [
        {
          rule: "connection-budget",
          severity: "hazard" as const,
          what: Number.isNaN(budget)
            ? `No ConfigMap says how many connections there are (${BUDGET}).`
            : Number.isNaN(total)
              ? "A pod has no DATABASE_POOL_MAX, so its connections can't be counted."
              : `The pods may open ${total} connections; ${budget} are planned for.`,
          where: `${overlay}: ${parts.map(({ id, pods, perPod }) => `${id} ${pods} x ${perPod}`).join(", ")}`,
          why: "Over the limit Postgres refuses connections: first to whoever restarts, which is the runner that should take over.",
          fix: Number.isNaN(budget)
            ? "Give the overlay the component `environment`; make infra-docs writes it."
            : "Lower the pools in agent-config or the replicas, or choose a larger tier in infra/Pulumi.NAME.yaml and run make infra-docs."
        }
      ]
    })
}
