import type { Finding } from "../../Evidence.ts"
import { allWorkloads, type Rule } from "../Rule.ts"
import type { KubeObject, Workload } from "../Workload.ts"

const classes = (platform: ReadonlyArray<KubeObject>): ReadonlyMap<string, number> =>
  new Map(
    platform.flatMap((object) =>
      object.kind === "PriorityClass" ? [[object.metadata.name, Number(object["value"])] as const] : []
    )
  )

/** Runners hold shards, gateways sockets, and all else can wait. */
const rank = ({ kind }: Workload): number => (kind === "StatefulSet" ? 2 : kind === "Deployment" ? 1 : 0)
const ranks = ["jobs", "gateways", "runners"]

/** Where a node has not room for all, runners stay before gateways, and gateways before jobs. */
export const priorities: Rule = {
  name: "priorities",
  covers: ({ platform }) => [...classes(platform)].map(([name, value]) => `${name} ${value}`).join(", "),
  check: (set) => {
    const findings: Array<Finding> = []
    const known = classes(set.platform)
    const all = allWorkloads(set)
    const lowest = [0, 1, 2].map((level) =>
      Math.min(
        ...all.flatMap(({ workload }) =>
          rank(workload) === level ? (known.get(workload.pod.priorityClassName ?? "") ?? []) : []
        )
      )
    )
    for (const { where, workload } of all) {
      const name = workload.pod.priorityClassName
      const value = known.get(name ?? "")
      const level = rank(workload)
      const above = [1, 2].find((higher) => higher > level && value !== undefined && value >= lowest[higher]!)
      if (value !== undefined && above === undefined) continue
      findings.push({
        rule: "priorities",
        severity: "hazard",
        what:
          value === undefined
            ? name === undefined
              ? `${workload.id} names no priority class.`
              : `${workload.id} has the priority ${name}, which k8s/platform does not make.`
            : `${workload.id} is as urgent as ${ranks[above!]}: ${name} is ${value}.`,
        where: `${where}: ${workload.id} priorityClassName`,
        why:
          value === undefined && name !== undefined
            ? "Kubernetes makes no pod whose class it does not know: a hook waits until it times out, a rollout stands still."
            : "A node that is full would end a runner, which costs a takeover of its shards, to make room for what could have waited.",
        fix: `Use one of ${[...known.keys()].join(", ")}, with values that put runners above gateways and gateways above jobs.`
      })
    }
    return findings
  }
}
