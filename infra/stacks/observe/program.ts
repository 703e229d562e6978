/** What is watched, of one environment; for `shared`, what all of it costs. */
import type * as pulumi from "@pulumi/pulumi"
import { Billing, TokenUsage } from "../../components/Costs.ts"
import { DrillSchedules } from "../../components/DrillSchedules.ts"
import { Observation } from "../../components/Observation.ts"
import * as contracts from "../../contracts.ts"
import * as names from "../../names.ts"
import { readEnvironment, readSettings, SharedSettings } from "../../settings.ts"

export const program = (stack: string): Record<string, pulumi.Output<string>> => {
  if (stack === names.shared) {
    new Billing("billing", readSettings(SharedSettings, stack))
    return {}
  }
  const settings = readEnvironment(stack)
  const platform = contracts.read(contracts.platform, stack)
  new Observation(stack, { environment: stack, settings, apiHost: platform.apiHost })
  new TokenUsage(stack, { environment: stack, connection: platform.analytics, billingTable: settings.billingTable })
  if (Object.keys(settings.drills).length > 0) {
    const { driller, drillTrigger } = contracts.read(contracts.deliveryShared, names.shared)
    new DrillSchedules(`${stack}-drill`, {
      environment: stack,
      drills: settings.drills,
      trigger: drillTrigger,
      driller
    })
  }
  return {}
}
