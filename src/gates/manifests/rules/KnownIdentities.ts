import type { Finding } from "../../Evidence.ts"
import { allWorkloads, type Rule } from "../Rule.ts"

/** Hooks of the first rollout run before anything is applied, so every account must be the platform's. */
export const knownIdentities: Rule = {
  name: "known-identities",
  covers: (set) => `${set.platform.filter(({ kind }) => kind === "ServiceAccount").length} accounts of k8s/platform`,
  check: (set) => {
    const findings: Array<Finding> = []
    const known = set.platform.filter(({ kind }) => kind === "ServiceAccount").map(({ metadata }) => metadata.name)
    for (const {
      where,
      workload: { id, pod }
    } of allWorkloads(set)) {
      const account = pod.serviceAccountName
      if (account !== undefined && known.includes(account)) continue
      findings.push({
        rule: "known-identities",
        severity: "hazard",
        what:
          account === undefined
            ? `${id} runs as the namespace's default account.`
            : `${id} runs as ${account}, which k8s/platform does not make.`,
        where: `${where}: ${id} serviceAccountName`,
        why: "Without its account a pod is never made: a hook then waits until it times out. The default account has no Google identity.",
        fix: `Use one of ${known.join(", ")}, or add the account to k8s/platform and infra/names.ts.`
      })
    }
    return findings
  }
}
