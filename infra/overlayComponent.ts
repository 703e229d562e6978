/**
 * What an overlay must know of its environment, as a kustomize component that is written from `names.ts` and `Pulumi.NAME.yaml`: YAML can't import.
 * `make infra-docs` writes them, a test fails when one is not up to date, and the manifest gate reads the number of connections from there.
 */
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { connectionPlan } from "./budget.ts"
import * as names from "./names.ts"
import type { EnvironmentSettings } from "./settings.ts"

export const componentFile = (repository: string, environment: names.Environment): string =>
  join(repository, "k8s", "overlays", environment, "environment", "kustomization.yaml")

export const overlayComponent = (
  environment: names.Environment,
  { database, enterprise }: Pick<EnvironmentSettings, "database" | "enterprise">
): string => {
  const { env, tenant_tier } = names.labels(environment, "workload")
  return `# Written by \`make infra-docs\` from infra/names.ts and infra/Pulumi.${environment}.yaml; a test fails when it is not up to date.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
namespace: ${names.namespace}
${enterprise ? "components:\n  - ../../../components/enterprise\n" : ""}labels:
  - pairs:
      env: ${env}
      tenant_tier: ${tenant_tier}
    includeSelectors: false
    includeTemplates: false
configMapGenerator:
  - name: agent-config
    behavior: merge
    literals:
      # What pods may hold together on ${database.tier}: infra/budget.ts. The manifest gate counts against it.
      - DATABASE_CONNECTIONS=${connectionPlan(database.tier).forPods}
`
}

/** Into the overlays that there are: an environment without one is not delivered to yet. */
export const writeComponent = (repository: string, environment: names.Environment, settings: EnvironmentSettings) => {
  const file = componentFile(repository, environment)
  if (existsSync(join(file, ".."))) writeFileSync(file, overlayComponent(environment, settings))
}
