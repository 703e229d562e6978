import type { Finding } from "../../Evidence.ts"
import { allWorkloads, overlays, type Rule } from "../Rule.ts"

/** The namespace enforces the `restricted` Pod Security Standard: a pod that falls short is never made. */
export const restrictedPods: Rule = {
  name: "restricted-pods",
  covers: (set) => `${overlays(set).length} overlays, ${set.jobs.length} Job templates`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const {
      where,
      workload: { id, pod }
    } of allWorkloads(set)) {
      for (const container of [...pod.initContainers, ...pod.containers]) {
        const own = container.securityContext
        const missing = [
          (own?.runAsNonRoot ?? pod.securityContext?.runAsNonRoot) === true ? [] : ["runAsNonRoot: true"],
          (own?.seccompProfile ?? pod.securityContext?.seccompProfile)?.type === "RuntimeDefault"
            ? []
            : ["seccompProfile: {type: RuntimeDefault}"],
          own?.allowPrivilegeEscalation === false ? [] : ["allowPrivilegeEscalation: false"],
          own?.capabilities?.drop.includes("ALL") === true ? [] : ["capabilities: {drop: [ALL]}"],
          own?.readOnlyRootFilesystem === true ? [] : ["readOnlyRootFilesystem: true"]
        ].flat()
        if (missing.length === 0) continue
        findings.push({
          rule: "restricted-pods",
          severity: "hazard",
          what: `Container ${container.name} of ${id} lacks ${missing.join(", ")}.`,
          where: `${where}: ${id} container ${container.name}, securityContext`,
          why: "The namespace refuses such a pod, so a StatefulSet would keep waiting for it; and an agent that runs tools needs no more rights than these.",
          fix: `Add ${missing.join(", ")}.`
        })
      }
    }
    return findings
  }
}
