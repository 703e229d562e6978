/**
 * The manifest gate: would these files deliver what they seem to?
 *
 * Each rule stands for a manifest that Kubernetes, Skaffold and Cloud Deploy accept, and that does something else than its
 * author believes. Pure: the verb renders the overlays, the rules judge.
 */
import { Effect } from "effect"
import * as Evidence from "../Evidence.ts"
import type { DeliverySet } from "./Rule.ts"
import { rules } from "./registry.ts"

export const judge = (
  set: DeliverySet,
  options: { readonly release: string; readonly startedAt: Date }
): Effect.Effect<Evidence.Evidence> =>
  Effect.suspend(() =>
    Evidence.make({
      gate: "manifests",
      release: options.release,
      startedAt: options.startedAt,
      checks: rules.map((rule) => ({ name: rule.name, result: rule.covers(set) })),
      findings: rules.flatMap((rule) => rule.check(set)),
      summary: (verdict) =>
        verdict === "passed"
          ? "The manifests deliver what they seem to."
          : "A manifest would do something else than it seems to."
    })
  )
