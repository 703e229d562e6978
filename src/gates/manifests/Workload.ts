/** The parts of rendered Kubernetes objects that the rules look at. Everything else of an object is left alone. */
import { Schema } from "effect"

/** A rendered object, as kustomize prints it. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [field: string]: unknown
}

const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })
const list = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(Schema.Array(schema), { default: () => [] })
const Labels = Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), { default: () => ({}) })

const EnvVar = Schema.Struct({
  name: Schema.String,
  value: maybe(Schema.String),
  valueFrom: maybe(
    Schema.Struct({
      fieldRef: maybe(Schema.Struct({ fieldPath: Schema.String })),
      configMapKeyRef: maybe(Schema.Struct({ name: Schema.String, key: Schema.String })),
      secretKeyRef: maybe(Schema.Struct({ name: Schema.String, key: Schema.String }))
    })
  )
})
export type EnvVar = typeof EnvVar.Type

const Probe = Schema.Struct({
  httpGet: maybe(Schema.Struct({ path: Schema.String })),
  periodSeconds: Schema.optionalWith(Schema.Number, { default: () => 10 }),
  failureThreshold: Schema.optionalWith(Schema.Number, { default: () => 3 })
})

const SecurityContext = Schema.Struct({
  runAsNonRoot: maybe(Schema.Boolean),
  allowPrivilegeEscalation: maybe(Schema.Boolean),
  readOnlyRootFilesystem: maybe(Schema.Boolean),
  capabilities: maybe(Schema.Struct({ drop: list(Schema.String) })),
  seccompProfile: maybe(Schema.Struct({ type: Schema.String }))
})

const Amounts = Schema.optionalWith(
  Schema.Record({ key: Schema.String, value: Schema.Union(Schema.String, Schema.Number) }),
  { default: () => ({}) }
)

const Container = Schema.Struct({
  name: Schema.String,
  resources: Schema.optionalWith(Schema.Struct({ requests: Amounts, limits: Amounts }), {
    default: () => ({ requests: {}, limits: {} })
  }),
  image: maybe(Schema.String),
  env: list(EnvVar),
  envFrom: list(
    Schema.Struct({
      configMapRef: maybe(Schema.Struct({ name: Schema.String })),
      secretRef: maybe(Schema.Struct({ name: Schema.String }))
    })
  ),
  lifecycle: maybe(
    Schema.Struct({
      preStop: maybe(
        Schema.Struct({ sleep: maybe(Schema.Struct({ seconds: Schema.Number })), exec: maybe(Schema.Unknown) })
      )
    })
  ),
  startupProbe: maybe(Probe),
  readinessProbe: maybe(Probe),
  livenessProbe: maybe(Probe),
  securityContext: maybe(SecurityContext)
})
export type Container = typeof Container.Type

const Pod = Schema.Struct({
  priorityClassName: maybe(Schema.String),
  serviceAccountName: maybe(Schema.String),
  terminationGracePeriodSeconds: Schema.optionalWith(Schema.Number, { default: () => 30 }),
  securityContext: maybe(SecurityContext),
  initContainers: list(Container),
  containers: list(Container)
})
export type Pod = typeof Pod.Type

const Template = Schema.Struct({
  metadata: Schema.optionalWith(Schema.Struct({ labels: Labels }), { default: () => ({ labels: {} }) }),
  spec: Pod
})

const Spec = Schema.Struct({
  replicas: Schema.optionalWith(Schema.Number, { default: () => 1 }),
  serviceName: maybe(Schema.String),
  updateStrategy: maybe(
    Schema.Struct({
      type: maybe(Schema.String),
      rollingUpdate: maybe(Schema.Struct({ partition: maybe(Schema.Number) }))
    })
  ),
  template: Template
})

const decodeSpec = Schema.decodeUnknownSync(Spec)
const decodeCron = Schema.decodeUnknownSync(Schema.Struct({ jobTemplate: Schema.Struct({ spec: Spec }) }))

export interface Workload {
  /** `StatefulSet/effect-agent-runtime`. */
  readonly id: string
  readonly kind: string
  readonly name: string
  readonly namespace: string
  /** Runs until it is told to stop: StatefulSet or Deployment. */
  readonly lasting: boolean
  readonly spec: typeof Spec.Type
  readonly pod: Pod
  readonly templateLabels: Readonly<Record<string, string>>
}

const KINDS = ["StatefulSet", "Deployment", "Job", "CronJob"]

/** Objects with a pod template. Throws where a field has another type than Kubernetes says: the API would refuse it too. */
export const workloads = (objects: ReadonlyArray<KubeObject>): ReadonlyArray<Workload> =>
  objects
    .filter(({ kind }) => KINDS.includes(kind))
    .map((object) => {
      const { kind, metadata } = object
      const spec = kind === "CronJob" ? decodeCron(object["spec"]).jobTemplate.spec : decodeSpec(object["spec"])
      return {
        id: `${kind}/${metadata.name}`,
        kind,
        name: metadata.name,
        namespace: metadata.namespace ?? "default",
        lasting: kind === "StatefulSet" || kind === "Deployment",
        spec,
        pod: spec.template.spec,
        templateLabels: spec.template.metadata.labels
      }
    })

/** What Kubernetes lets change of a workload that is there; everything else of its spec stays as it was made. */
export const CHANGEABLE: Readonly<Record<"StatefulSet" | "Deployment", ReadonlyArray<string>>> = {
  StatefulSet: [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "revisionHistoryLimit"
  ],
  Deployment: [
    "replicas",
    "template",
    "strategy",
    "minReadySeconds",
    "revisionHistoryLimit",
    "progressDeadlineSeconds",
    "paused"
  ]
}

const decodeBudget = Schema.decodeUnknownSync(
  Schema.Struct({
    minAvailable: maybe(Schema.Union(Schema.Number, Schema.String)),
    maxUnavailable: maybe(Schema.Union(Schema.Number, Schema.String)),
    selector: Schema.Struct({ matchLabels: Labels })
  })
)

/** The PodDisruptionBudgets among them. */
export const budgets = (objects: ReadonlyArray<KubeObject>) =>
  objects
    .filter(({ kind }) => kind === "PodDisruptionBudget")
    .map(({ metadata, spec }) => {
      const { selector, ...bounds } = decodeBudget(spec)
      return {
        name: metadata.name,
        namespace: metadata.namespace ?? "default",
        selector: selector.matchLabels,
        ...bounds
      }
    })

const decodeService = Schema.decodeUnknownSync(
  Schema.Struct({ clusterIP: maybe(Schema.String), publishNotReadyAddresses: maybe(Schema.Boolean) })
)

export const service = (objects: ReadonlyArray<KubeObject>, name: string) => {
  const object = objects.find(({ kind, metadata }) => kind === "Service" && metadata.name === name)
  return object === undefined ? undefined : decodeService(object["spec"])
}

const decodeData = Schema.decodeUnknownSync(
  Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), { default: () => ({}) }).pipe(
    (data) => Schema.Struct({ data })
  )
)

/** What the container would see under this name, as far as the rendered set tells: a literal, or a key of a ConfigMap in it. */
export const envValue = (
  objects: ReadonlyArray<KubeObject>,
  container: Container,
  name: string
): string | undefined => {
  const configMap = (wanted: string) => {
    const object = objects.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === wanted)
    return object === undefined ? {} : decodeData(object).data
  }
  const own = container.env.find((variable) => variable.name === name)
  if (own?.value !== undefined) return own.value
  const reference = own?.valueFrom?.configMapKeyRef
  if (reference !== undefined) return configMap(reference.name)[reference.key]
  for (const source of [...container.envFrom].reverse()) {
    const value = source.configMapRef === undefined ? undefined : configMap(source.configMapRef.name)[name]
    if (value !== undefined) return value
  }
  return undefined
}
