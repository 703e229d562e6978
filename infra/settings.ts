/** The stack's configuration, read once and typed. Refuses what it doesn't know, before anything is created. */
import * as pulumi from "@pulumi/pulumi"
import { type Environment, environments } from "./names.ts"

export interface Settings {
  readonly environment: Environment
  /** This stack also makes the pipeline and the registry. */
  readonly delivery: boolean
  /** Cluster and database refuse to be deleted. */
  readonly protect: boolean
}

const isEnvironment = (value: string): value is Environment => environments.some((known) => known === value)

export const readSettings = (config: pulumi.Config = new pulumi.Config()): Settings => {
  const environment = config.require("environment")
  if (!isEnvironment(environment)) {
    throw new pulumi.RunError(
      `The environment "${environment}" of this stack is none of ${environments.join(", ")}. Set it with "pulumi config set environment dev".`
    )
  }
  return {
    environment,
    delivery: config.getBoolean("delivery") ?? false,
    protect: config.getBoolean("protect") ?? true
  }
}
