import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { workloads } from "../Workload.ts"

/**
 * Seconds that a process may take from SIGTERM to its end: a runner lets activities finish (`entityTerminationTimeout`), a
 * gateway answers what is in flight, then both let go of the database. `test/drain-time.test.ts` holds their settings to it.
 */
export const DRAIN_SECONDS = 45

/** SIGKILL must not come before the drain is over. preStop counts against the same grace period. */
export const drainTime: Rule = {
  name: "drain-time",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const { overlay, objects } of overlays(set)) {
      for (const { id, lasting, pod } of workloads(objects)) {
        if (!lasting) continue
        for (const container of pod.containers) {
          const preStop = container.lifecycle?.preStop
          const sleep = preStop?.sleep?.seconds ?? 0
          const grace = pod.terminationGracePeriodSeconds
          if (sleep + DRAIN_SECONDS > grace) {
            findings.push({
              rule: "drain-time",
              severity: "hazard",
              what: `${id} gets ${grace} s to stop, but preStop takes ${sleep} s and the drain up to ${DRAIN_SECONDS} s.`,
              where: `${overlay}: ${id} terminationGracePeriodSeconds`,
              why: "The kubelet kills what is left at the end of the grace period: activities would be cut that could have finished, and run again elsewhere.",
              fix: `Set terminationGracePeriodSeconds to at least ${sleep + DRAIN_SECONDS}.`
            })
          }
          if (preStop?.exec !== undefined) {
            findings.push({
              rule: "drain-time",
              severity: "hazard",
              what: `preStop of container ${container.name} of ${id} runs a command.`,
              where: `${overlay}: ${id} lifecycle.preStop.exec`,
              why: "The image is distroless: there is no shell and no sleep in it, so the hook fails and the wait does not happen.",
              fix: "Use the sleep action: preStop: {sleep: {seconds: N}}."
            })
          }
        }
      }
    }
    return findings
  }
}
