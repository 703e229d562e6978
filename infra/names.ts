/**
 * The one place for names. YAML can't import it, so a test (`agreement.test.ts`) compares it with the rendered manifests,
 * `clouddeploy/`, `skaffold.yaml`, `cloudbuild.yaml` and with what Pulumi would create.
 *
 * The projects are placeholders: to use your own, change them here; the test then lists every other place.
 */

export const environments = ["dev", "staging", "prod"] as const
export type Environment = (typeof environments)[number]

/** The project of the pipeline, the registry, and the accounts that deploy. */
export const deliveryProject = "effect-agents-example"

/**
 * One project per environment. A Kubernetes account is `PROJECT.svc.id.goog[NAMESPACE/NAME]` to IAM, without the cluster: in a
 * shared project the dev cluster's runners could act as those of prod.
 */
export const environmentProject = (environment: Environment): string => `${deliveryProject}-${environment}`

export const region = "us-central1"
export const subnetRange = "10.42.0.0/20"

export const pipeline = "agents"
export const registry = "agents"
/** Skaffold's artifact names; in the registry `REGION-docker.pkg.dev/PROJECT/agents/NAME`. */
export const images = ["agents", "agents-smoke"] as const
export const registryUrl = `${region}-docker.pkg.dev/${deliveryProject}/${registry}`

/** The same in every environment: the project tells them apart. */
export const cluster = "agents"
export const clusterPath = (environment: Environment): string =>
  `projects/${environmentProject(environment)}/locations/${region}/clusters/${cluster}`

export const databaseInstance = "agents"
export const database = "effect_cluster"
/** One login per duty. Migrations grant to them; nobody but the platform makes them. */
export const databaseRoles = ["migrator", "runtime", "reader", "drill"] as const
export type DatabaseRole = (typeof databaseRoles)[number]
export const databaseSecret = (role: DatabaseRole): string => `agent-database-${role}`

export const releaseBucket = `${deliveryProject}-releases`

export const namespace = "agents"
export const platformConfigMap = "agent-platform"
/** For whom callers ask a token: hooks, smoke and drills sign in to the gateway as Google accounts do. */
export const identityAudience = "agent-gateway"

/** Kubernetes accounts, each with a Google account of the same name in the environment's project. */
export const workloadAccounts = [
  "agent-runtime",
  "agent-gateway",
  "agent-migrator",
  "agent-gate",
  "agent-smoke",
  "agent-drill"
] as const
export type WorkloadAccount = (typeof workloadAccounts)[number]

export const automationAccount = "agents-automation"
export const builderAccount = "agents-builder"
export const deployerAccount = (environment: Environment): string => `agents-deployer-${environment}`
export const nodeAccount = "agents-nodes"

export const accountEmail = (account: string, project: string): string =>
  `${account}@${project}.iam.gserviceaccount.com`

/** What IAM calls a Kubernetes account. */
export const workloadMember = (account: WorkloadAccount, environment: Environment): string =>
  `serviceAccount:${environmentProject(environment)}.svc.id.goog[${namespace}/${account}]`
