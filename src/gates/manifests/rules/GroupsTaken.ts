import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { envValue, type KubeObject, workloads } from "../Workload.ts"

const listOf = (value: string | undefined): ReadonlyArray<string> =>
  (value ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")

/** The groups that processes send to, and of them those whose shards some runner takes. A pool that is told of none takes all. */
const groupsIn = (objects: ReadonlyArray<KubeObject>) => {
  const known = new Set<string>()
  const taken = new Set<string>()
  for (const { kind, lasting, pod, spec } of workloads(objects)) {
    if (!lasting) continue
    for (const container of pod.containers) {
      const groups = listOf(envValue(objects, container, "SHARD_GROUPS"))
      for (const group of groups) known.add(group)
      if (kind !== "StatefulSet" || spec.replicas === 0) continue
      const assigned = listOf(envValue(objects, container, "ASSIGNED_SHARD_GROUPS"))
      for (const group of assigned.length === 0 ? groups : assigned) taken.add(group)
    }
  }
  return { known: [...known], taken }
}

/** No group of shards is without runners, in any phase: what is sent there would wait, and nobody would say so. */
export const groupsTaken: Rule = {
  name: "groups-taken",
  covers: (set) => [...new Set(overlays(set).flatMap(({ objects }) => groupsIn(objects).known))].join(", "),
  check: (set) =>
    overlays(set).flatMap(({ overlay, objects }) => {
      const { known, taken } = groupsIn(objects)
      return known
        .filter((group) => !taken.has(group))
        .map(
          (group): Finding => ({
            rule: "groups-taken",
            severity: "hazard",
            what: `No runner takes the shards of the group ${group}.`,
            where: `${overlay}: env ASSIGNED_SHARD_GROUPS of its StatefulSets`,
            why: "The runs of that group are accepted and then wait, for as long as no runner takes its shards.",
            fix: `Let one pool have ${group} in ASSIGNED_SHARD_GROUPS, or leave the variable out: then it takes the shards of all groups.`
          })
        )
    })
}
