/** Where two places call the same thing differently. Each check compares two sources; none of them is trusted more. */
import type { KubeObject } from "../../src/gates/manifests/Workload.ts"
import * as names from "../names.ts"
import { readEnvironment } from "../settings.ts"
import { type Captured, configOf } from "./capture.ts"
import { type Facts, pods } from "./facts.ts"

const ofType = (captured: ReadonlyArray<Captured> | undefined, type: string) =>
  (captured ?? []).filter((one) => one.type === type)
const named = (captured: ReadonlyArray<Captured> | undefined, type: string) =>
  ofType(captured, type).map(({ inputs }) => String(inputs["name"]))
const metadataName = ({ inputs }: Captured) => String((inputs["metadata"] as { name?: unknown } | undefined)?.name)

const compare = (what: string, left: ReadonlyArray<string>, right: ReadonlyArray<string>): ReadonlyArray<string> => {
  const sorted = (list: ReadonlyArray<string>) => [...new Set(list)].sort().join(", ")
  return sorted(left) === sorted(right) ? [] : [`${what}: [${sorted(left)}] and [${sorted(right)}]`]
}

const within = (what: string, used: ReadonlyArray<string>, known: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...new Set(used)]
    .filter((name) => !known.includes(name))
    .map((name) => `${what}: ${name} is not among ${known.join(", ")}`)

const targets = ({ delivery, captured }: Facts) => [
  ...compare(
    "targets of clouddeploy/ and environments that are delivered to",
    delivery.targets.map(({ metadata }) => metadata.name),
    names.environments.filter((environment) => readEnvironment(environment, configOf(environment)).delivered)
  ),
  ...compare(
    "targets that Pulumi creates and clouddeploy/",
    names.environments.flatMap((environment) => named(captured[environment], "gcp:clouddeploy/target:Target")),
    delivery.targets.map(({ metadata }) => metadata.name)
  ),
  ...delivery.targets.flatMap(({ metadata: { name: environment } }) => {
    const target = delivery.targets.find(({ metadata }) => metadata.name === environment)
    const cluster = ofType(captured[environment], "gcp:container/cluster:Cluster").map(
      ({ inputs }) => `projects/${inputs["project"]}/locations/${inputs["location"]}/clusters/${inputs["name"]}`
    )
    return [
      ...compare(
        `cluster of target ${environment} and the one that Pulumi creates`,
        [target?.gke.cluster ?? ""],
        cluster
      ),
      ...compare(`cluster of target ${environment} and names.ts`, cluster, [names.clusterPath(environment)])
    ]
  })
]

const accounts = ({ delivery, captured }: Facts) => {
  const made = ofType(Object.values(captured).flat(), "gcp:serviceaccount/account:Account").map(({ inputs }) =>
    names.accountEmail(String(inputs["accountId"]), String(inputs["project"]))
  )
  return [
    ...within(
      "accounts that targets run as, and those that Pulumi creates",
      delivery.targets.flatMap(({ executionConfigs }) =>
        (executionConfigs ?? []).flatMap(({ serviceAccount }) => (serviceAccount === undefined ? [] : [serviceAccount]))
      ),
      made
    ),
    ...within(
      "accounts that automations run as, and those that Pulumi creates",
      delivery.automations.map(({ serviceAccount }) => serviceAccount),
      made
    ),
    ...delivery.targets.flatMap(({ metadata, executionConfigs }) =>
      compare(
        `deployer of ${metadata.name}`,
        (executionConfigs ?? []).map(({ serviceAccount }) => serviceAccount ?? ""),
        names.environments
          .filter((environment) => environment === metadata.name)
          .map((environment) => names.accountEmail(names.deployerAccount(environment), names.deliveryProject))
      )
    )
  ]
}

const delivery = ({ delivery: { pipelines, skaffold }, captured, overlays, cloudbuild }: Facts) => {
  const profiles = pipelines.flatMap((pipeline) =>
    pipeline.serialPipeline.stages.flatMap((stage) => [
      ...(stage.profiles ?? []),
      ...(stage.strategy?.canary?.customCanaryDeployment.phaseConfigs ?? []).flatMap((phase) => phase.profiles ?? [])
    ])
  )
  return [
    ...compare(
      "pipeline that Pulumi creates and names.ts",
      named(captured[names.shared], "gcp:clouddeploy/deliveryPipeline:DeliveryPipeline"),
      [names.pipeline]
    ),
    ...compare(
      "profiles of the pipeline and of skaffold.yaml",
      profiles,
      skaffold.profiles.map(({ name }) => name)
    ),
    ...compare(
      "overlays and profiles of the same name",
      Object.keys(overlays),
      skaffold.profiles.map(({ name }) => `k8s/overlays/${name}`)
    ),
    ...compare(
      "artifacts of skaffold.yaml and images of names.ts",
      skaffold.build.artifacts.map(({ image }) => image),
      names.images
    ),
    ...[
      names.registryUrl,
      names.pipeline,
      names.region,
      names.releaseBucket,
      names.builderAccount,
      names.cacheBucket,
      names.cacheRegistry,
      names.attestor,
      names.attestorKeyRing,
      `workerPools/${names.workerPool}`
    ]
      .filter((name) => !cloudbuild["cloudbuild.yaml"]?.includes(name))
      .map((name) => `cloudbuild.yaml does not name ${name}`)
  ]
}

/** Which apps a NetworkPolicy is for. */
const selected = (policy: KubeObject): ReadonlyArray<string> => {
  const { podSelector } = policy["spec"] as {
    readonly podSelector: {
      readonly matchLabels?: { readonly app?: string }
      readonly matchExpressions?: ReadonlyArray<{ readonly values: ReadonlyArray<string> }>
    }
  }
  return [
    ...(podSelector.matchLabels?.app === undefined ? [] : [podSelector.matchLabels.app]),
    ...(podSelector.matchExpressions ?? []).flatMap(({ values }) => values)
  ]
}

const workloads = (facts: Facts) => {
  const all = pods(facts)
  const containers = all.flatMap(({ workload }) => [...workload.pod.initContainers, ...workload.pod.containers])
  return [
    ...within(
      "images of manifests and names.ts",
      containers.map(({ image }) => image ?? "(none)"),
      names.images
    ),
    ...all
      .filter(({ workload }) => workload.namespace !== names.namespace)
      .map(({ where, workload }) => `${where}: ${workload.id} is in namespace ${workload.namespace}`),
    ...within(
      "StatefulSets of overlays and names.ts",
      all.flatMap(({ workload }) => (workload.kind === "StatefulSet" ? [workload.name] : [])),
      Object.values(names.runnerPools)
    ),
    ...compare(
      "runners that may be reached (k8s/platform) and names.ts",
      facts.platform.flatMap((object) => (object.kind === "NetworkPolicy" ? selected(object) : [])),
      [...Object.values(names.runnerPools), names.gatewayService]
    ),
    ...compare(
      "accounts of k8s/platform and names.ts",
      facts.platform.filter(({ kind }) => kind === "ServiceAccount").map(({ metadata }) => metadata.name),
      names.workloadAccounts
    ),
    ...compare(
      "priority classes of k8s/platform and names.ts",
      facts.platform.filter(({ kind }) => kind === "PriorityClass").map(({ metadata }) => metadata.name),
      Object.values(names.priorityClasses)
    ),
    ...names.environments.flatMap((environment) =>
      compare(
        `priority classes that Pulumi creates in ${environment} and those of pods`,
        ofType(facts.captured[environment], "kubernetes:scheduling.k8s.io/v1:PriorityClass").map(metadataName),
        all.map(({ workload }) => workload.pod.priorityClassName ?? "(none)")
      )
    ),
    ...all.flatMap(({ where, workload }) =>
      within(
        `account of ${workload.id} in ${where}`,
        [workload.pod.serviceAccountName ?? "default"],
        names.workloadAccounts
      )
    )
  ]
}

const secretsOf = (object: unknown): ReadonlyArray<string> => {
  if (typeof object !== "object" || object === null) return []
  return Object.entries(object).flatMap(([key, value]) =>
    key === "secretName" && typeof value === "string" ? [value] : secretsOf(value)
  )
}

const platform = (facts: Facts) =>
  names.environments.flatMap((environment) => {
    const captured = facts.captured[environment]
    const configMaps = ofType(captured, "kubernetes:core/v1:ConfigMap").map(metadataName)
    const bindings = ofType(captured, "gcp:serviceaccount/iAMMember:IAMMember").filter(
      ({ inputs }) => inputs["role"] === "roles/iam.workloadIdentityUser"
    )
    const kubernetes = ofType(captured, "kubernetes:core/v1:ServiceAccount")
    return [
      ...compare(
        `secrets that manifests mount and Pulumi creates in ${environment}`,
        [...Object.values(facts.overlays).flat(), ...Object.values(facts.jobs)].flatMap(secretsOf),
        ofType(captured, "kubernetes:core/v1:Secret").map(metadataName)
      ),
      ...pods(facts).flatMap(({ where, workload }) => {
        const own = facts.overlays[where] ?? []
        const generated = own.filter(({ kind }) => kind === "ConfigMap").map(({ metadata }) => metadata.name)
        return within(
          `ConfigMap of ${workload.id} in ${where}`,
          workload.pod.containers.flatMap(({ envFrom }) =>
            envFrom.flatMap(({ configMapRef }) => configMapRef?.name ?? [])
          ),
          [...configMaps, ...generated]
        )
      }),
      ...compare(
        `logins in ${environment} and names.ts`,
        ofType(captured, "gcp:sql/user:User")
          .filter(({ inputs }) => inputs["type"] === undefined)
          .map(({ inputs }) => String(inputs["name"])),
        names.databaseRoles
      ),
      ...compare(`database in ${environment}`, named(captured, "gcp:sql/database:Database"), [names.database]),
      ...compare(
        `who may act as a Google account in ${environment}`,
        bindings.map(({ inputs }) => `${inputs["member"]} -> ${inputs["serviceAccountId"]}`),
        kubernetes.map((account) => {
          const { annotations, namespace } = account.inputs["metadata"] as {
            annotations: Record<string, string>
            namespace: string
          }
          const email = annotations["iam.gke.io/gcp-service-account"]!
          const project = names.environmentProject(environment)
          return `serviceAccount:${project}.svc.id.goog[${namespace}/${metadataName(account)}] -> projects/${project}/serviceAccounts/${email}`
        })
      )
    ]
  })

/** Empty when all names agree. */
export const disagreements = (facts: Facts): ReadonlyArray<string> =>
  [targets, accounts, delivery, workloads, platform].flatMap((check) => check(facts))
