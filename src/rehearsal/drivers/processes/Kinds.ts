/** The kinds that the driver applies, with what it understands of each. See `WithoutEffect.ts` for the rest. */
import { Schema } from "effect"
import { PodTemplate, Port, PortRef, Strings } from "./PodSpec.ts"
import { withoutEffect } from "./WithoutEffect.ts"

const optional = Schema.optional
const Count = Schema.Int.pipe(Schema.nonNegative())
const Positive = Schema.Int.pipe(Schema.positive())
const IntOrPercent = Schema.Union(Count, Schema.String.pipe(Schema.pattern(/^\d+%$/)))

const Metadata = Schema.Struct({
  name: Schema.NonEmptyString,
  namespace: optional(Schema.String),
  labels: optional(Strings),
  annotations: optional(Strings),
  ...withoutEffect("metadata")
})

const object = <K extends string, V extends string, F extends Schema.Struct.Fields>(
  kind: K,
  apiVersion: V,
  fields: F
) =>
  Schema.Struct({
    apiVersion: Schema.Literal(apiVersion),
    kind: Schema.Literal(kind),
    metadata: Metadata,
    /** Written by controllers; kustomize may carry an empty one along. */
    status: optional(Schema.Unknown),
    ...fields
  })

const Selector = Schema.Struct({ matchLabels: Strings })

export const StatefulSet = object("StatefulSet", "apps/v1", {
  spec: Schema.Struct({
    serviceName: optional(Schema.String),
    replicas: optional(Count),
    selector: Selector,
    template: PodTemplate,
    podManagementPolicy: optional(Schema.Literal("OrderedReady", "Parallel")),
    updateStrategy: optional(
      Schema.Struct({
        /** OnDelete is decoded so that Admission can say why it is refused. */
        type: optional(Schema.Literal("RollingUpdate", "OnDelete")),
        rollingUpdate: optional(Schema.Struct({ partition: optional(Count) }))
      })
    ),
    ordinals: optional(Schema.Struct({ start: optional(Count) })),
    minReadySeconds: optional(Count),
    ...withoutEffect("StatefulSet.spec")
  })
})
export type StatefulSet = typeof StatefulSet.Type

export const Deployment = object("Deployment", "apps/v1", {
  spec: Schema.Struct({
    replicas: optional(Count),
    selector: Selector,
    template: PodTemplate,
    strategy: optional(
      Schema.Struct({
        type: optional(Schema.Literal("RollingUpdate", "Recreate")),
        rollingUpdate: optional(
          Schema.Struct({ maxSurge: optional(IntOrPercent), maxUnavailable: optional(IntOrPercent) })
        )
      })
    ),
    minReadySeconds: optional(Count),
    paused: optional(Schema.Literal(false)),
    ...withoutEffect("Deployment.spec")
  })
})
export type Deployment = typeof Deployment.Type

const JobSpec = Schema.Struct({
  template: PodTemplate,
  activeDeadlineSeconds: optional(Positive),
  completions: optional(Schema.Literal(1)),
  parallelism: optional(Schema.Literal(1)),
  suspend: optional(Schema.Literal(false)),
  ...withoutEffect("Job.spec")
})
export const Job = object("Job", "batch/v1", { spec: JobSpec })
export type Job = typeof Job.Type

export const CronJob = object("CronJob", "batch/v1", {
  spec: Schema.Struct(
    { jobTemplate: Schema.Struct({ metadata: optional(Schema.Unknown), spec: JobSpec }) },
    // The rest says when to run. Nothing of it is dropped but what the table says: the schedule.
    { key: Schema.String, value: Schema.Unknown }
  )
})

export const Service = object("Service", "v1", {
  spec: Schema.Struct({
    type: optional(Schema.Literal("ClusterIP")),
    clusterIP: optional(Schema.Literal("None")),
    selector: Strings,
    publishNotReadyAddresses: optional(Schema.Boolean),
    sessionAffinity: optional(Schema.Literal("None")),
    ports: optional(
      Schema.Array(
        Schema.Struct({
          name: optional(Schema.String),
          port: Port,
          targetPort: optional(PortRef),
          protocol: optional(Schema.Literal("TCP")),
          ...withoutEffect("Service.port")
        })
      )
    ),
    ...withoutEffect("Service.spec")
  })
})
export type Service = typeof Service.Type

export const ConfigMap = object("ConfigMap", "v1", {
  data: optional(Strings),
  binaryData: optional(Strings),
  ...withoutEffect("ConfigMap")
})
export type ConfigMap = typeof ConfigMap.Type

export const Secret = object("Secret", "v1", {
  data: optional(Strings),
  stringData: optional(Strings),
  ...withoutEffect("Secret")
})
export type Secret = typeof Secret.Type

export const ServiceAccount = object("ServiceAccount", "v1", {
  automountServiceAccountToken: optional(Schema.Boolean),
  ...withoutEffect("ServiceAccount")
})
export type ServiceAccount = typeof ServiceAccount.Type

export const Role = object("Role", "rbac.authorization.k8s.io/v1", {
  rules: optional(
    Schema.Array(
      Schema.Struct({
        apiGroups: Schema.Array(Schema.String),
        resources: Schema.Array(Schema.String),
        verbs: Schema.Array(Schema.String),
        resourceNames: optional(Schema.Array(Schema.String))
      })
    )
  )
})
export type Role = typeof Role.Type

export const RoleBinding = object("RoleBinding", "rbac.authorization.k8s.io/v1", {
  roleRef: Schema.Struct({
    apiGroup: Schema.String,
    /** A ClusterRole lives outside the namespace, so the driver can't know what it allows. */
    kind: Schema.Literal("Role"),
    name: Schema.String
  }),
  subjects: optional(
    Schema.Array(
      Schema.Struct({
        kind: Schema.Literal("ServiceAccount"),
        name: Schema.String,
        namespace: optional(Schema.String),
        apiGroup: optional(Schema.Literal(""))
      })
    )
  )
})
export type RoleBinding = typeof RoleBinding.Type

export const Namespace = object("Namespace", "v1", { spec: optional(Schema.Unknown) })

/** Accepted as they are: their meaning is in the table. Still an object with a name. */
const noted = <K extends string, V extends string>(kind: K, apiVersion: V) =>
  object(kind, apiVersion, { spec: optional(Schema.Unknown) })

export const PriorityClass = object("PriorityClass", "scheduling.k8s.io/v1", {
  value: Schema.Int,
  preemptionPolicy: optional(Schema.Literal("Never", "PreemptLowerPriority")),
  globalDefault: optional(Schema.Boolean),
  description: optional(Schema.String)
})

const schemas = {
  StatefulSet,
  Deployment,
  Service,
  ConfigMap,
  Secret,
  ServiceAccount,
  Role,
  RoleBinding,
  Namespace,
  CronJob,
  Job,
  PriorityClass,
  PodDisruptionBudget: noted("PodDisruptionBudget", "policy/v1"),
  NetworkPolicy: noted("NetworkPolicy", "networking.k8s.io/v1"),
  HorizontalPodAutoscaler: noted("HorizontalPodAutoscaler", "autoscaling/v2")
}
export type Kind = keyof typeof schemas
export const kinds: ReadonlyArray<string> = Object.keys(schemas)
export const isKind = (kind: string): kind is Kind => Object.hasOwn(schemas, kind)

export type Decoded = { readonly [K in Kind]: (typeof schemas)[K]["Type"] }
export type AnyDecoded = Decoded[Kind]

export const decoders: { readonly [K in Kind]: Schema.Schema<Decoded[K]> } = schemas as never
