import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { workloads } from "../Workload.ts"

const PROBES = ["startupProbe", "readinessProbe", "livenessProbe"] as const

/** All three probes, and liveness that asks about the process alone. */
export const probes: Rule = {
  name: "probes",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const { overlay, objects } of overlays(set)) {
      for (const { id, lasting, pod } of workloads(objects)) {
        if (!lasting) continue
        for (const container of pod.containers) {
          for (const probe of PROBES.filter((name) => container[name] === undefined)) {
            findings.push({
              rule: "probes",
              severity: "hazard",
              what: `Container ${container.name} of ${id} has no ${probe}.`,
              where: `${overlay}: ${id} container ${container.name}`,
              why: "Without it Kubernetes takes a process that hangs, or has not joined yet, for a good one, and the rollout goes on over it.",
              fix: "startupProbe and livenessProbe ask /healthz, readinessProbe asks /readyz."
            })
          }
          for (const probe of ["startupProbe", "livenessProbe"] as const) {
            if (container[probe]?.httpGet?.path === "/readyz") {
              findings.push({
                rule: "probes",
                severity: "hazard",
                what: `The ${probe} of ${id} asks /readyz.`,
                where: `${overlay}: ${id} container ${container.name}`,
                why: "Readiness includes the database. When that is away, every pod would be killed at once instead of waiting for it.",
                fix: "Ask /healthz."
              })
            }
          }
        }
      }
    }
    return findings
  }
}
