import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { envValue, service, workloads } from "../Workload.ts"

/** A runner is known to others by pod DNS, which outlives its address; it listens on another one. */
export const runnerAddress: Rule = {
  name: "runner-address",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const { overlay, objects } of overlays(set)) {
      for (const { id, kind, namespace, spec, pod } of workloads(objects)) {
        if (kind !== "StatefulSet") continue
        for (const container of pod.containers) {
          const host = envValue(objects, container, "RUNNER_HOST")
          const expected = `$(POD_NAME).${spec.serviceName}.${namespace}.svc.cluster.local`
          const where = `${overlay}: ${id} container ${container.name}, env RUNNER_HOST`
          if (host !== expected) {
            findings.push({
              rule: "runner-address",
              severity: "hazard",
              what: `The runner's address is ${host ?? "not set"}, not the pod's DNS name.`,
              where,
              why:
                host !== undefined && host === envValue(objects, container, "LISTEN_HOST")
                  ? "That is the address it listens on: every runner would register under the same one, and reach itself."
                  : "An address dies with the pod and leaves a stale runner behind; another service's name does not resolve to this pod.",
              fix: `Set RUNNER_HOST to ${expected}.`
            })
          }
          const name = container.env.findIndex((variable) => variable.name === "POD_NAME")
          const uses = container.env.findIndex((variable) => variable.name === "RUNNER_HOST")
          if (uses !== -1 && (name === -1 || name > uses)) {
            findings.push({
              rule: "runner-address",
              severity: "hazard",
              what: "RUNNER_HOST uses $(POD_NAME), which is not defined before it.",
              where,
              why: "Kubernetes leaves an unknown reference as it stands, so every runner would register under the literal text.",
              fix: "Put POD_NAME (fieldRef metadata.name) above it."
            })
          }
        }
        if (service(objects, spec.serviceName ?? "")?.clusterIP !== "None") {
          findings.push({
            rule: "runner-address",
            severity: "hazard",
            what: `${id} names the Service ${spec.serviceName ?? "(none)"}, which is not a headless Service of this overlay.`,
            where: `${overlay}: ${id} spec.serviceName`,
            why: "Only a headless Service (clusterIP: None) gives each pod a DNS name.",
            fix: "Make the Service headless, or name the right one."
          })
        }
      }
    }
    return findings
  }
}
