/** Counts what the gateway answered: listeners of Node call it, outside of any fiber. */
import { Metric } from "effect"
import { gatewayRequests } from "../domain/Metrics.ts"

export const answered = (status: number): void => {
  Metric.tagged(gatewayRequests, "code", String(status)).unsafeUpdate(1, [])
}
