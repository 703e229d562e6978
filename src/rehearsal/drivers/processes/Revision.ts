/**
 * A pod template's revision: the same template, the same revision.
 *
 * Only the template counts, as in Kubernetes' controllers: labels on the workload itself change nothing. The hash is taken of the
 * manifest as rendered, fields without effect included, so that an update here is an update on a cluster and vice versa.
 */
import { createHash } from "node:crypto"

/** JSON with sorted keys, without absent and null values. */
export const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value)
      .filter(([, inner]) => inner !== undefined && inner !== null)
      .sort(([left], [right]) => (left < right ? -1 : 1))
    return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(",")}}`
  }
  return JSON.stringify(value ?? null)
}

/** Ten hex digits, as the pod names of a Deployment carry them. */
export const revisionOf = (template: unknown): string =>
  createHash("sha256").update(canonical(template)).digest("hex").slice(0, 10)
