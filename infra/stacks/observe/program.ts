/** What is watched, of one environment; for `shared`, what all of it costs. */
import type * as pulumi from "@pulumi/pulumi"
import { readEnvironment } from "../../settings.ts"

export const program = (stack: string): Record<string, pulumi.Output<string>> => {
  if (stack !== "shared") readEnvironment(stack)
  return {}
}
