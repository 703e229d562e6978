/**
 * A pod template's revision: the same template, the same revision.
 *
 * Only the template counts, as in Kubernetes' controllers: labels on the workload itself change nothing. The hash is taken of the
 * manifest as rendered, fields without effect included, so that an update here is an update on a cluster and vice versa.
 */
import { createHash } from "node:crypto"
import { canonicalText } from "../../../surface/Shape.ts"
import { withoutNulls } from "../../schema/GoogleSchema.ts"

/** JSON with sorted keys, without absent and null values: a field that is null is not there. */
export const canonical = (value: unknown): string => canonicalText(withoutNulls(value ?? null))

/** Ten hex digits, as the pod names of a Deployment carry them. */
export const revisionOf = (template: unknown): string =>
  createHash("sha256").update(canonical(template)).digest("hex").slice(0, 10)
