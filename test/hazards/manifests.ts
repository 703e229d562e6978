/** Changes of manifests that Kubernetes, Skaffold and Cloud Deploy accept, as `deliver gate manifests` judges them. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { delimiter, join, resolve } from "node:path"
import { Effect } from "effect"
import { parse, parseAllDocuments } from "yaml"
import { judge } from "../../src/gates/manifests/ManifestGate.ts"
import type { DeliverySet, Step } from "../../src/gates/manifests/Rule.ts"
import type { KubeObject } from "../../src/gates/manifests/Workload.ts"
import { type Entry, saidBy } from "./Entry.ts"

const root = resolve(import.meta.dirname, "../..")
const build = (path: string): Array<KubeObject> =>
  parseAllDocuments(
    execFileSync("kustomize", ["build", join(root, path)], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${join(root, ".tools")}${delimiter}${process.env["PATH"]}` }
    })
  ).map((document) => document.toJS() as KubeObject)

export type Mutable<A> =
  A extends ReadonlyArray<infer B>
    ? Array<Mutable<B>>
    : A extends object
      ? { -readonly [K in keyof A]: Mutable<A[K]> }
      : A

const step = (target: string, phase: string, last: boolean, overlay: string): Step => ({
  target,
  phase,
  last,
  overlay,
  objects: build(overlay),
  predeploy: ["gate-workflows", "migrate"],
  verify: true,
  postdeploy: ["record"]
})
export const sound: DeliverySet = {
  steps: [
    step("dev", "stable", true, "k8s/overlays/dev"),
    step("staging", "stable", true, "k8s/overlays/staging"),
    step("prod", "one-replica", false, "k8s/overlays/prod-one"),
    step("prod", "stable", true, "k8s/overlays/prod-full")
  ],
  jobs: ["migrate", "smoke"].map((name) => ({
    file: `k8s/jobs/${name}.yaml`,
    object: parse(readFileSync(join(root, `k8s/jobs/${name}.yaml`), "utf8")) as KubeObject
  })),
  platform: build("k8s/platform"),
  labelRules: ["StatefulSet.apps", "Deployment.apps"].map((groupKind) => ({ groupKind, labels: [".metadata.labels"] })),
  approvals: { dev: false, staging: false, prod: true },
  unchanging: JSON.parse(readFileSync(join(root, "k8s/unchanging.json"), "utf8")) as DeliverySet["unchanging"],
  released: false
}

// biome-ignore lint/suspicious/noExplicitAny: a fixture reaches into objects whose shape is Kubernetes' own
type Loose = any
const at = (set: Mutable<DeliverySet>, overlay: string, id: string): Loose => {
  const found = set.steps
    .find((candidate) => candidate.overlay.endsWith(overlay))!
    .objects.find(({ kind, metadata }) => `${kind}/${metadata.name}` === id)
  if (found === undefined) throw new Error(`${id} is not in ${overlay}`)
  return found
}
const RUNNERS = "StatefulSet/effect-agent-runtime"
const BUDGET = "PodDisruptionBudget/effect-agent-runtime"
const GATEWAY = "Deployment/agent-gateway"
const runner = (set: Mutable<DeliverySet>, overlay = "dev"): Loose =>
  at(set, overlay, RUNNERS).spec.template.spec.containers[0]
const setEnv = (container: Loose, name: string, entry: object) => {
  const index = container.env.findIndex((variable: { name: string }) => variable.name === name)
  if (index === -1) container.env.push({ name, ...entry })
  else container.env[index] = { name, ...entry }
}

export interface Broken {
  readonly rule: string
  readonly when: string
  readonly edit: (set: Mutable<DeliverySet>) => void
  readonly says: string
}

export const broken: ReadonlyArray<Broken> = [
  {
    rule: "partition-below-replicas",
    when: "the partition equals the replicas",
    edit: (set) => {
      at(set, "prod-one", RUNNERS).spec.updateStrategy.rollingUpdate.partition = 3
    },
    says: "no pod would be updated"
  },
  {
    rule: "partition-below-replicas",
    when: "replicas were lowered below the partition",
    edit: (set) => {
      at(set, "prod-one", RUNNERS).spec.replicas = 1
    },
    says: "with 1 replicas"
  },
  {
    rule: "phase-partitions",
    when: "the last phase keeps old pods",
    edit: (set) => {
      at(set, "prod-full", RUNNERS).spec.updateStrategy.rollingUpdate.partition = 1
    },
    says: "after the last phase"
  },
  {
    rule: "phase-partitions",
    when: "the first phase updates everything",
    edit: (set) => {
      at(set, "prod-one", RUNNERS).spec.updateStrategy.rollingUpdate.partition = 0
    },
    says: "updated completely"
  },
  {
    rule: "phases-differ-in-partition",
    when: "a phase changes the environment too",
    edit: (set) => setEnv(runner(set, "prod-one"), "LOG_LEVEL", { value: "Debug" }),
    says: "more than the partition"
  },
  {
    rule: "rolling-update",
    when: "the strategy is OnDelete",
    edit: (set) => {
      at(set, "dev", RUNNERS).spec.updateStrategy = { type: "OnDelete" }
    },
    says: "OnDelete"
  },
  {
    rule: "labels-out-of-templates",
    when: "resourceSelector.allow has no rule for StatefulSets",
    edit: (set) => void set.labelRules.shift(),
    says: "every StatefulSet"
  },
  {
    rule: "labels-out-of-templates",
    when: "the rule allows the pod template",
    edit: (set) => {
      set.labelRules[0]!.labels = [".metadata.labels", ".spec.template.metadata.labels"]
    },
    says: ".spec.template.metadata.labels"
  },
  {
    rule: "labels-out-of-templates",
    when: "a template carries a release's label",
    edit: (set) => {
      at(set, "dev", GATEWAY).spec.template.metadata.labels["deploy.cloud.google.com/release-id"] = "r-1"
    },
    says: "deploy.cloud.google.com/release-id"
  },
  {
    rule: "same-shards",
    when: "one environment has another number of shards",
    edit: (set) => setEnv(runner(set, "staging"), "SHARDS_PER_GROUP", { value: "100" }),
    says: "SHARDS_PER_GROUP is 100, but 300"
  },
  {
    rule: "same-shards",
    when: "the gateway knows another list of groups",
    edit: (set) =>
      setEnv(at(set, "prod-full", GATEWAY).spec.template.spec.containers[0], "SHARD_GROUPS", {
        value: "canary,default"
      }),
    says: "SHARD_GROUPS is canary,default"
  },
  {
    rule: "same-shards",
    when: "the ConfigMap lost the number",
    edit: (set) => {
      for (const { objects } of set.steps) {
        const map: Loose = objects.find(({ kind }) => kind === "ConfigMap")
        if (map.data.LOG_LEVEL === "Debug") delete map.data.SHARDS_PER_GROUP
      }
    },
    says: "SHARDS_PER_GROUP is not set"
  },
  {
    rule: "groups-taken",
    when: "the only pool takes the shards of one group",
    edit: (set) => setEnv(runner(set, "prod-one"), "ASSIGNED_SHARD_GROUPS", { value: "default" }),
    says: "No runner takes the shards of the group enterprise"
  },
  {
    rule: "groups-taken",
    when: "a group's only pool has no replicas",
    edit: (set) => {
      const dev = set.steps.find(({ overlay }) => overlay.endsWith("dev"))!
      const pool: Loose = structuredClone(at(set, "dev", RUNNERS))
      pool.metadata.name = `${pool.metadata.name}-enterprise`
      pool.spec.replicas = 0
      setEnv(pool.spec.template.spec.containers[0], "ASSIGNED_SHARD_GROUPS", { value: "enterprise" })
      setEnv(runner(set), "ASSIGNED_SHARD_GROUPS", { value: "default" })
      dev.objects.push(pool)
    },
    says: "No runner takes the shards of the group enterprise"
  },
  {
    rule: "runner-address",
    when: "the runner's address is the one it listens on",
    edit: (set) => setEnv(runner(set), "RUNNER_HOST", { value: "0.0.0.0" }),
    says: "0.0.0.0"
  },
  {
    rule: "runner-address",
    when: "the runner's address is the pod's IP",
    edit: (set) => setEnv(runner(set), "RUNNER_HOST", { valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }),
    says: "not the pod's DNS name"
  },
  {
    rule: "runner-address",
    when: "POD_NAME is defined after it is used",
    edit: (set) => void runner(set).env.push(runner(set).env.shift()),
    says: "not defined before it"
  },
  {
    rule: "runner-address",
    when: "the Service is not headless",
    edit: (set) => void delete at(set, "dev", "Service/effect-agent-runners").spec.clusterIP,
    says: "not a headless Service"
  },
  {
    rule: "publish-not-ready",
    when: "the headless Service hides runners that are not ready",
    edit: (set) => void delete at(set, "dev", "Service/effect-agent-runners").spec.publishNotReadyAddresses,
    says: "only pods that are ready"
  },
  {
    rule: "drain-time",
    when: "the grace period is shorter than preStop and drain",
    edit: (set) => {
      at(set, "dev", GATEWAY).spec.template.spec.terminationGracePeriodSeconds = 30
    },
    says: "gets 30 s to stop"
  },
  {
    rule: "drain-time",
    when: "preStop runs a command in a distroless image",
    edit: (set) => {
      runner(set).lifecycle.preStop = { exec: { command: ["sleep", "5"] } }
    },
    says: "runs a command"
  },
  {
    rule: "probes",
    when: "a probe is missing",
    edit: (set) => void delete runner(set).readinessProbe,
    says: "no readinessProbe"
  },
  {
    rule: "probes",
    when: "liveness depends on the database",
    edit: (set) => {
      runner(set).livenessProbe.httpGet.path = "/readyz"
    },
    says: "asks /readyz"
  },
  {
    rule: "connection-budget",
    when: "the pools exceed what the database serves",
    edit: (set) => setEnv(runner(set, "prod-full"), "DATABASE_POOL_MAX", { value: "60" }),
    says: "connections; 127 are planned"
  },
  {
    rule: "connection-budget",
    when: "an autoscaler may make more gateways than the database serves",
    edit: (set) => {
      const scaler = set.steps
        .find(({ overlay }) => overlay.endsWith("prod-full"))!
        .objects.find(({ kind }) => kind === "HorizontalPodAutoscaler")!
      ;(scaler["spec"] as { maxReplicas: number }).maxReplicas = 7
    },
    says: "131 connections; 127 are planned"
  },
  {
    rule: "connection-budget",
    when: "nothing says how many connections there are",
    edit: (set) => {
      for (const { kind, ...object } of set.steps[0]!.objects) {
        if (kind === "ConfigMap") delete (object["data"] as Record<string, string>)["DATABASE_CONNECTIONS"]
      }
    },
    says: "No ConfigMap says"
  },
  {
    rule: "connection-budget",
    when: "a pod's pool is unbounded",
    edit: (set) => setEnv(runner(set), "DATABASE_POOL_MAX", { valueFrom: {} }),
    says: "can't be counted"
  },
  {
    rule: "image-digests",
    when: "a release's image has a tag",
    edit: (set) => {
      set.released = true
    },
    says: "not named by digest"
  },
  {
    rule: "secrets-are-files",
    when: "a password is written into the manifest",
    edit: (set) => setEnv(runner(set), "DATABASE_PASSWORD", { value: "hunter2" }),
    says: "written into the manifest"
  },
  {
    rule: "secrets-are-files",
    when: "a URL holds credentials",
    edit: (set) => setEnv(runner(set), "DATABASE_URL", { value: "postgres://runtime:hunter2@db/effect_cluster" }),
    says: "written into the manifest"
  },
  {
    rule: "secrets-are-files",
    when: "a secret comes as an environment variable",
    edit: (set) => setEnv(runner(set), "MODEL_KEY", { valueFrom: { secretKeyRef: { name: "model", key: "key" } } }),
    says: "into the environment"
  },
  {
    rule: "restricted-pods",
    when: "a Job may gain privileges",
    edit: (set) => {
      const job: Loose = set.jobs[0]!.object
      delete job.spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation
    },
    says: "allowPrivilegeEscalation: false"
  },
  {
    rule: "memory-bounds",
    when: "a runner may take more memory than it asks for",
    edit: (set) => {
      runner(set).resources.limits.memory = "2Gi"
    },
    says: "may take 2Gi"
  },
  {
    rule: "memory-bounds",
    when: "a Job says nothing of memory",
    edit: (set) => {
      const job: Loose = set.jobs[0]!.object
      delete job.spec.template.spec.containers[0].resources
    },
    says: "may take all there is"
  },
  {
    rule: "disruption-budgets",
    when: "a budget selects nobody's pods",
    edit: (set) => {
      at(set, "prod-full", BUDGET).spec.selector.matchLabels.app = "effect-agents"
    },
    says: "has no disruption budget"
  },
  {
    rule: "disruption-budgets",
    when: "a budget lets no pod go",
    edit: (set) => {
      at(set, "dev", BUDGET).spec = { minAvailable: 1, selector: at(set, "dev", BUDGET).spec.selector }
    },
    says: "lets no pod of StatefulSet/effect-agent-runtime go"
  },
  {
    rule: "disruption-budgets",
    when: "a budget lets all pods go at once",
    edit: (set) => {
      at(set, "prod-full", BUDGET).spec.maxUnavailable = "100%"
    },
    says: "at once"
  },
  {
    rule: "unchanging-fields",
    when: "runners would start one after the other",
    edit: (set) => {
      at(set, "dev", RUNNERS).spec.podManagementPolicy = "OrderedReady"
    },
    says: "podManagementPolicy of StatefulSet/effect-agent-runtime can't change"
  },
  {
    rule: "unchanging-fields",
    when: "a workload is new and nobody wrote it down",
    edit: (set) => {
      at(set, "dev", GATEWAY).metadata.name = "agent-door"
    },
    says: "Deployment/agent-door is not written down"
  },
  {
    rule: "known-identities",
    when: "a hook's account is not the platform's",
    edit: (set) => {
      const job: Loose = set.jobs[0]!.object
      job.spec.template.spec.serviceAccountName = "migrator"
    },
    says: "k8s/platform does not make"
  },
  {
    rule: "priorities",
    when: "a job is as urgent as the gateways",
    edit: (set) => {
      const job: Loose = set.jobs[0]!.object
      job.spec.template.spec.priorityClassName = "agents-gateway"
    },
    says: "as urgent as gateways"
  },
  {
    rule: "priorities",
    when: "a runner's class is not the platform's",
    edit: (set) => {
      at(set, "staging", RUNNERS).spec.template.spec.priorityClassName = "high"
    },
    says: "k8s/platform does not make"
  },
  {
    rule: "fences",
    when: "a phase runs the migrations before the gate",
    edit: (set) => void set.steps[2]!.predeploy.reverse(),
    says: "prod / one-replica"
  },
  {
    rule: "fences",
    when: "a phase is not verified",
    edit: (set) => {
      set.steps[3]!.verify = false
    },
    says: "Nothing is verified after prod / stable"
  },
  {
    rule: "fences",
    when: "a stage does not record the release",
    edit: (set) => {
      set.steps[0]!.postdeploy = []
    },
    says: "does not record"
  },
  {
    rule: "approval",
    when: "prod asks for no approval",
    edit: (set) => {
      set.approvals["prod"] = false
    },
    says: "asks for no approval"
  }
]

const entry = (title: string, expect: string | null, edit: (set: Mutable<DeliverySet>) => void): Entry => ({
  gate: "manifests",
  title,
  expect,
  judge: Effect.gen(function* () {
    const set = structuredClone(sound) as Mutable<DeliverySet>
    edit(set)
    const { verdict, findings } = yield* judge(set, { release: "test", startedAt: new Date() })
    return saidBy(verdict, findings)
  })
})

const every = (set: Mutable<DeliverySet>, id: string, edit: (object: Loose) => void) => {
  for (const { objects } of set.steps) {
    for (const object of objects) if (`${object.kind}/${object.metadata.name}` === id) edit(object)
  }
}

export const manifestEntries: ReadonlyArray<Entry> = [
  ...broken.map(({ when, says, edit }) => entry(when, says, edit)),
  entry("nothing changes", null, () => undefined),
  entry("every runner gets more memory", null, (set) =>
    every(set, RUNNERS, ({ spec }) => {
      spec.template.spec.containers[0].resources = { requests: { memory: "1Gi" }, limits: { memory: "1Gi" } }
    })
  ),
  entry("runners have a longer time to stop", null, (set) =>
    every(set, RUNNERS, ({ spec }) => {
      spec.template.spec.terminationGracePeriodSeconds += 30
    })
  ),
  entry("dev logs more", null, (set) => setEnv(runner(set), "LOG_LEVEL", { value: "Trace" })),
  entry("an annotation is added to the runners", null, (set) =>
    every(set, RUNNERS, ({ metadata }) => {
      metadata.annotations = { ...metadata.annotations, owner: "agents" }
    })
  ),
  entry("the gateway gets a replica more in dev", null, (set) => {
    at(set, "dev", GATEWAY).spec.replicas = 2
  }),
  entry("pools get smaller", null, (set) =>
    every(set, RUNNERS, ({ spec }) => setEnv(spec.template.spec.containers[0], "DATABASE_POOL_MAX", { value: "5" }))
  ),
  entry("staging asks for an approval too", null, (set) => {
    set.approvals["staging"] = true
  })
]
