import { isDeepStrictEqual } from "node:util"
import type { Finding } from "../../Evidence.ts"
import { overlays, type Rule } from "../Rule.ts"
import { CHANGEABLE } from "../Workload.ts"

export const FILE = "k8s/unchanging.json"

/** A field that can't change is refused by the cluster in the middle of a rollout, when the migrations have already run. */
export const unchangingFields: Rule = {
  name: "unchanging-fields",
  covers: ({ unchanging }) =>
    unchanging === undefined
      ? `nothing: there is no ${FILE}`
      : `${Object.keys(unchanging).length} workloads in ${FILE}`,
  check: (set) => {
    const { unchanging } = set
    if (unchanging === undefined) return []
    return overlays(set).flatMap(({ overlay, objects }) =>
      objects.flatMap(({ kind, metadata, spec }): ReadonlyArray<Finding> => {
        if (kind !== "StatefulSet" && kind !== "Deployment") return []
        const changeable = CHANGEABLE[kind]
        const id = `${kind}/${metadata.name}`
        const was = unchanging[id]
        const is = Object.fromEntries(
          Object.entries(spec as Record<string, unknown>).filter(([field]) => !changeable.includes(field))
        )
        const fields = [...new Set([...Object.keys(was ?? {}), ...Object.keys(is)])].filter(
          (field) => !isDeepStrictEqual(was?.[field], is[field])
        )
        if (was !== undefined && fields.length === 0) return []
        return [
          {
            rule: "unchanging-fields",
            severity: "hazard",
            what:
              was === undefined
                ? `${id} is not written down in ${FILE}.`
                : `${fields.join(" and ")} of ${id} can't change once it is there.`,
            where: `${overlay}: ${id} spec.${fields[0] ?? ""}`,
            why: "The cluster refuses the change when it is applied: the rollout fails behind its migrations, in every environment that has the workload.",
            fix:
              was === undefined
                ? `Write its ${Object.keys(is).join(", ")} into ${FILE}, if it is a new one.`
                : "Keep what was written; or give the workload another name, and take the old one away in a later release, when its runners have handed over."
          }
        ]
      })
    )
  }
}
