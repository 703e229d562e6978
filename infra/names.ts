/**
 * The one place for names. YAML can't import it, so a test (`stacks.test.ts`) compares it with the rendered manifests,
 * `clouddeploy/`, `skaffold.yaml`, `cloudbuild*.yaml` and with what Pulumi would create.
 *
 * The projects are placeholders: to use your own, change them here; the test then lists every other place.
 */
import { environmentsIn } from "./environments.ts"

/** Named by the file `Pulumi.NAME.yaml` beside this one: an environment is that file and an overlay of the same name. */
export type Environment = string
export const environments: ReadonlyArray<Environment> = environmentsIn(import.meta.dirname)
/** The stacks of what all environments have in common. */
export const shared = "shared"

/** The project of the pipeline, the registry, and the accounts that deploy. */
export const deliveryProject = "effect-agents-example"

/**
 * One project per environment. A Kubernetes account is `PROJECT.svc.id.goog[NAMESPACE/NAME]` to IAM, without the cluster: in a
 * shared project the dev cluster's runners could act as those of prod.
 */
export const environmentProject = (environment: Environment): string => `${deliveryProject}-${environment}`

export const region = "us-central1"
/** Where a copy of the database waits for the loss of the region. */
export const replicaRegion = "us-east1"
export const zones = ["a", "b", "c"].map((zone) => `${region}-${zone}`)

/** Nobody else's: the networks of two environments are never joined, so all may have the same ranges. */
export const ranges = {
  nodes: "10.42.0.0/20",
  /** Cloud Run's direct egress takes addresses here: twice the instances, and a /26 is the least it accepts. */
  edge: "10.42.16.0/24",
  services: "10.43.0.0/20",
  pods: "10.44.0.0/14"
} as const
/** The address inside the network at which the edge finds the gateways. */
export const gatewayAddress = "10.42.15.240"

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

/** In Secret Manager; a person puts the value in. The Kubernetes Secret that follows it bears the same name. */
export const modelSecret = "agent-model-key"
/** What runners read it by: `src/runtime/ModelSettings.ts`. */
export const modelKeyFile = "openai-api-key"

export const releaseBucket = `${deliveryProject}-releases`
/** What builds keep for the next one. */
export const cacheBucket = `${deliveryProject}-build-cache`
export const cacheRegistry = "agents-build-cache"
/** Pulumi's state. Made before the first stack, by `infra/bootstrap`. */
export const stateBucket = `${deliveryProject}-pulumi`
export const stateKey = `projects/${deliveryProject}/locations/${region}/keyRings/pulumi/cryptoKeys/state`

export const namespace = "agents"
export const platformConfigMap = "agent-platform"
/** StatefulSets of runners. The second one is there where `agents:enterprise` says so. */
export const runnerPools = { default: "effect-agent-runtime", enterprise: "effect-agent-runtime-enterprise" } as const
export const gatewayService = "agent-gateway"
export const gatewayPort = 8080
/** For whom callers ask a token: hooks, smoke, drills and the edge sign in to the gateway as Google accounts do. */
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
/** What `k8s/platform` makes: a runner displaces a gateway, which displaces a job, where a node has not room for all. */
export const priorityClasses = { runner: "agents-runner", gateway: "agents-gateway", job: "agents-job" } as const

/** Accounts that call the gateway as a tenant: their tokens are Google's and name none. */
export const serviceTenant = "service"
export const callingAccounts: ReadonlyArray<WorkloadAccount> = ["agent-smoke", "agent-drill"]

export const automationAccount = "agents-automation"
export const builderAccount = "agents-builder"
/** Builds of pull requests: somebody else's code runs with its rights. */
export const checkerAccount = "agents-checker"
export const drillerAccount = "agents-driller"
export const deployerAccount = (environment: Environment): string => `agents-deployer-${environment}`
export const nodeAccount = "agents-nodes"
export const usageAccount = "agents-usage"
/** Of Google's export of costs, in the delivery project. */
export const billingDataset = "agents_billing"
export const edgeAccount = "agents-edge"

export const attestor = "agents-built"
export const attestorPath = `projects/${deliveryProject}/attestors/${attestor}`
export const attestorKeyRing = "agents-attestor"
export const attestorKey = "built"
export const workerPool = "agents"
export const commentSecret = "github-comment-token"
export const scheduleAccount = "agents-scheduler"
export const triggers = { main: "agents-main", pullRequest: "agents-pr", drills: "agents-drills" } as const

export const accountEmail = (account: string, project: string): string =>
  `${account}@${project}.iam.gserviceaccount.com`

/** What IAM calls a Kubernetes account. */
export const workloadMember = (account: WorkloadAccount, environment: Environment): string =>
  `serviceAccount:${environmentProject(environment)}.svc.id.goog[${namespace}/${account}]`

/** Every resource that can bear labels has these: bills and searches go by them. */
export const labels = (environment: Environment, component: string): Record<string, string> => ({
  app: "agents",
  env: environment,
  component,
  tenant_tier: "all"
})
