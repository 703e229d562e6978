/**
 * What a manifest may say that changes nothing when pods are processes, each with the reason.
 *
 * The rule of this driver is that a field is honoured, listed here, or refused by name. A field belongs here only if a
 * release that behaves well without it tells nothing false about the release on a cluster.
 */
import { Schema } from "effect"

export interface Entry {
  /** Where it stands: `Pod.spec`, `Container`, or `kind` for a whole object. */
  readonly scope: string
  readonly field: string
  readonly reason: string
}

const oneMachine = "all pods share one machine, so there is nothing to choose between"
const noKernelIsolation = "a process on this machine has no user, capabilities or root file system of its own"

const tables = {
  kind: {
    PodDisruptionBudget: "guards against node drains and evictions; one machine has neither",
    NetworkPolicy: "every process of this machine reaches the loopback range; the cluster enforces it",
    HorizontalPodAutoscaler: "the replica count stays as the manifest gives it; there is no metrics server",
    PriorityClass: "one machine has no node to be short of; nothing is preempted",
    CronJob:
      "its template is checked, its schedule is not run: start the work by hand, for example with `deliver drill`"
  },
  metadata: {
    creationTimestamp: "written by the API server",
    generation: "written by the API server",
    resourceVersion: "written by the API server",
    uid: "written by the API server",
    managedFields: "written by the API server"
  },
  "Pod.spec": {
    affinity: oneMachine,
    tolerations: oneMachine,
    nodeSelector: oneMachine,
    topologySpreadConstraints: oneMachine,
    schedulerName: oneMachine,
    priorityClassName: "nothing is preempted",
    preemptionPolicy: "nothing is preempted",
    runtimeClassName: "processes have no container runtime",
    imagePullSecrets: "images are folders on this machine",
    securityContext: noKernelIsolation,
    enableServiceLinks: "service link variables are never set; names resolve by DNS"
  },
  Container: {
    resources: "limits need cgroups, which need root; sizes are measured on the cluster",
    securityContext: noKernelIsolation,
    imagePullPolicy: "an image is content-addressed: there is nothing newer to pull",
    terminationMessagePath: "the last log lines are shown instead",
    terminationMessagePolicy: "the last log lines are shown instead"
  },
  VolumeMount: {
    readOnly: "the folder belongs to the user who runs the rehearsal; nothing stops a process from writing"
  },
  EmptyDir: {
    medium: "a folder on this machine's disk, whatever the medium",
    sizeLimit: "not enforced without quotas"
  },
  "StatefulSet.spec": {
    revisionHistoryLimit: "revisions live in memory as long as a pod or the set needs them",
    persistentVolumeClaimRetentionPolicy: "there are no volume claims: volumeClaimTemplates is refused"
  },
  "Deployment.spec": {
    revisionHistoryLimit: "revisions live in memory as long as a pod or the set needs them",
    progressDeadlineSeconds: "the rollout's own deadline ends the wait, and a crash loop ends it sooner"
  },
  "Job.spec": {
    backoffLimit: "the first failed pod fails the Job, as Skaffold has it",
    ttlSecondsAfterFinished: "a Job's pod is gone when it ends; its log is kept"
  },
  ServiceAccountToken: {
    expirationSeconds: "a token is good for as long as its pod lives"
  },
  "Service.spec": {
    internalTrafficPolicy: oneMachine,
    ipFamilies: "loopback addresses are IPv4",
    ipFamilyPolicy: "loopback addresses are IPv4",
    trafficDistribution: oneMachine
  },
  "Service.port": {
    appProtocol: "the proxy passes bytes on as they are"
  },
  ConfigMap: { immutable: "objects live as long as the rehearsal" },
  Secret: {
    immutable: "objects live as long as the rehearsal",
    type: "the type only checks which keys exist"
  },
  ServiceAccount: {
    imagePullSecrets: "images are folders on this machine",
    secrets: "tokens are made for each pod"
  }
} as const

export type Scope = keyof typeof tables

/** The whole table, for documentation and for the summary that `apply` can print. */
export const entries: ReadonlyArray<Entry> = Object.entries(tables).flatMap(([scope, fields]) =>
  Object.entries(fields).map(([field, reason]) => ({ scope, field, reason }))
)

/** Schema fields for everything that `scope` accepts without effect. */
export const withoutEffect = <S extends Scope>(scope: S) =>
  Object.fromEntries(
    Object.keys(tables[scope]).map((field) => [field, Schema.optional(Schema.Unknown)])
  ) as unknown as Readonly<Record<keyof (typeof tables)[S] & string, Schema.optional<typeof Schema.Unknown>>>
