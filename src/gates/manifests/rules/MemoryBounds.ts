import type { Finding } from "../../Evidence.ts"
import { allWorkloads, overlays, type Rule } from "../Rule.ts"

/** What a container may take is what was set aside for it: else others' memory decides when it is ended. */
export const memoryBounds: Rule = {
  name: "memory-bounds",
  covers: (set) => `${overlays(set).length} overlays, ${set.jobs.length} Job templates`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const { where, workload } of allWorkloads(set)) {
      for (const { name, resources } of [...workload.pod.initContainers, ...workload.pod.containers]) {
        const [request, limit] = [resources.requests["memory"], resources.limits["memory"]]
        if (request !== undefined && request === limit) continue
        findings.push({
          rule: "memory-bounds",
          severity: "hazard",
          what: `Container ${name} of ${workload.id} asks for ${request ?? "no memory"} and may take ${limit ?? "all there is"}.`,
          where: `${where}: ${workload.id} container ${name}, resources`,
          why: "A node that runs out of memory ends what takes more than it asked for: a runner in the middle of its steps, at a moment that others choose.",
          fix: `Set resources.requests.memory and resources.limits.memory to the same${limit === undefined ? "" : `, ${limit}`}.`
        })
      }
    }
    return findings
  }
}
