import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { envValue, workloads } from "../Workload.ts"

const NAMES = ["SHARDS_PER_GROUP", "SHARD_GROUPS"] as const

/** Every process of every environment computes shards alike. */
export const sameShards: Rule = {
  name: "same-shards",
  covers: (set) => `${overlays(set).length} overlays`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const name of NAMES) {
      const seen: Array<{ readonly value: string | undefined; readonly where: string }> = []
      for (const { overlay, objects } of overlays(set)) {
        for (const { id, lasting, pod } of workloads(objects)) {
          if (!lasting) continue
          for (const container of pod.containers) {
            seen.push({ value: envValue(objects, container, name), where: `${overlay}: ${id}` })
          }
        }
      }
      for (const { value, where } of seen) {
        if (value !== undefined && value === seen[0]!.value) continue
        findings.push({
          rule: "same-shards",
          severity: "hazard",
          what:
            value === undefined
              ? `${name} is not set.`
              : `${name} is ${value}, but ${seen[0]!.value ?? "not set"} in ${seen[0]!.where}.`,
          where: `${where}, env ${name}`,
          why:
            name === "SHARDS_PER_GROUP"
              ? "Rows in the database carry the shard they were hashed to. Processes with another number look for them elsewhere: they wait for ever."
              : "A lock's number is the group's place in the sorted list. With two lists in use, two runners hold the same shard at once.",
          fix: `Set it once, in k8s/base, and never in an overlay. In a running environment ${
            name === "SHARDS_PER_GROUP" ? "it can't be changed" : "a group can come or go at its sorted end alone"
          }.`
        })
      }
    }
    return findings
  }
}
