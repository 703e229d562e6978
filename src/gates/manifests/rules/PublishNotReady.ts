import { overlays, type Rule } from "../Rule.ts"
import { service, workloads } from "../Workload.ts"

/** A runner that starts or stops still owns shards; others must find it. */
export const publishNotReady: Rule = {
  name: "publish-not-ready",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) =>
    overlays(set).flatMap(({ overlay, objects }) =>
      workloads(objects).flatMap(({ kind, spec }) => {
        const headless = kind === "StatefulSet" ? service(objects, spec.serviceName ?? "") : undefined
        if (headless === undefined || headless.publishNotReadyAddresses === true) return []
        return [
          {
            rule: "publish-not-ready",
            severity: "hazard" as const,
            what: `Service/${spec.serviceName} publishes only pods that are ready.`,
            where: `${overlay}: Service/${spec.serviceName} spec.publishNotReadyAddresses`,
            why: "A runner that is draining is not ready, but still owns shards: its name would vanish while others must hand work over with it.",
            fix: "Set publishNotReadyAddresses: true."
          }
        ]
      })
    )
}
