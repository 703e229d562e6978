/**
 * What the driver understands of a pod template. Decoded strictly: a field that stands neither here nor in
 * `WithoutEffect.ts` refuses the manifest, so that nothing is dropped in silence.
 *
 * Field names, defaults and limits are those of the Kubernetes API (core/v1), unless a comment says otherwise.
 */
import { Schema } from "effect"
import { withoutEffect } from "./WithoutEffect.ts"

const optional = Schema.optional
const Count = Schema.Int.pipe(Schema.nonNegative())
const Positive = Schema.Int.pipe(Schema.positive())
export const Port = Schema.Int.pipe(Schema.between(1, 65535))
export const PortRef = Schema.Union(Port, Schema.NonEmptyString)
/** Labels, annotations and ConfigMap data: only strings, as the API server has it. */
export const Strings = Schema.Record({ key: Schema.String, value: Schema.String })

const FieldRef = Schema.Struct({
  apiVersion: optional(Schema.Literal("v1")),
  fieldPath: Schema.String.pipe(
    Schema.filter((path) => fieldPaths.test(path), {
      message: () =>
        "the driver knows metadata.name, metadata.namespace, metadata.uid, metadata.labels['…'], metadata.annotations['…'], " +
        "spec.serviceAccountName, spec.nodeName, status.podIP, status.podIPs and status.hostIP"
    })
  )
})
const fieldPaths =
  /^(metadata\.(name|namespace|uid|(labels|annotations)\['[^']+'\])|spec\.(serviceAccountName|nodeName)|status\.(podIP|podIPs|hostIP))$/

const KeyRef = Schema.Struct({ name: Schema.String, key: Schema.String, optional: optional(Schema.Boolean) })

export const EnvVar = Schema.Struct({
  name: Schema.NonEmptyString,
  value: optional(Schema.String),
  valueFrom: optional(
    Schema.Struct({
      fieldRef: optional(FieldRef),
      configMapKeyRef: optional(KeyRef),
      secretKeyRef: optional(KeyRef)
    })
  )
})
export type EnvVar = typeof EnvVar.Type

const Source = Schema.Struct({ name: Schema.String, optional: optional(Schema.Boolean) })
const EnvFrom = Schema.Struct({
  prefix: optional(Schema.String),
  configMapRef: optional(Source),
  secretRef: optional(Source)
})

const HttpGet = Schema.Struct({
  path: optional(Schema.String),
  port: PortRef,
  scheme: optional(Schema.Literal("HTTP")),
  httpHeaders: optional(Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String })))
})
const Exec = Schema.Struct({ command: Schema.NonEmptyArray(Schema.String) })
const TcpSocket = Schema.Struct({ port: PortRef })

export const Probe = Schema.Struct({
  httpGet: optional(HttpGet),
  tcpSocket: optional(TcpSocket),
  exec: optional(Exec),
  initialDelaySeconds: optional(Count),
  periodSeconds: optional(Positive),
  timeoutSeconds: optional(Positive),
  successThreshold: optional(Positive),
  failureThreshold: optional(Positive),
  terminationGracePeriodSeconds: optional(Count)
})
export type Probe = typeof Probe.Type

export const Handler = Schema.Struct({
  exec: optional(Exec),
  httpGet: optional(HttpGet),
  sleep: optional(Schema.Struct({ seconds: Count }))
})
export type Handler = typeof Handler.Type

export const Container = Schema.Struct({
  name: Schema.NonEmptyString,
  image: Schema.NonEmptyString,
  command: optional(Schema.Array(Schema.String)),
  args: optional(Schema.Array(Schema.String)),
  workingDir: optional(Schema.String),
  env: optional(Schema.Array(EnvVar)),
  envFrom: optional(Schema.Array(EnvFrom)),
  ports: optional(
    Schema.Array(
      Schema.Struct({
        name: optional(Schema.String),
        containerPort: Port,
        protocol: optional(Schema.Literal("TCP"))
      })
    )
  ),
  volumeMounts: optional(
    Schema.Array(Schema.Struct({ name: Schema.String, mountPath: Schema.String, ...withoutEffect("VolumeMount") }))
  ),
  startupProbe: optional(Probe),
  readinessProbe: optional(Probe),
  livenessProbe: optional(Probe),
  lifecycle: optional(Schema.Struct({ preStop: optional(Handler) })),
  /** Only on an init container, where it makes a native sidecar. */
  restartPolicy: optional(Schema.Literal("Always")),
  ...withoutEffect("Container")
})
export type Container = typeof Container.Type

const Items = Schema.Array(Schema.Struct({ key: Schema.String, path: Schema.String, mode: optional(Count) }))
const FieldItems = Schema.Array(Schema.Struct({ path: Schema.String, fieldRef: FieldRef, mode: optional(Count) }))

const ProjectedSource = Schema.Struct({
  configMap: optional(
    Schema.Struct({ name: Schema.String, items: optional(Items), optional: optional(Schema.Boolean) })
  ),
  secret: optional(Schema.Struct({ name: Schema.String, items: optional(Items), optional: optional(Schema.Boolean) })),
  downwardAPI: optional(Schema.Struct({ items: FieldItems })),
  /** Without an audience: the driver's own API takes the token. A Google token comes from the metadata server. */
  serviceAccountToken: optional(Schema.Struct({ path: Schema.String, ...withoutEffect("ServiceAccountToken") }))
})

export const Volume = Schema.Struct({
  name: Schema.NonEmptyString,
  emptyDir: optional(Schema.Struct(withoutEffect("EmptyDir"))),
  configMap: optional(
    Schema.Struct({
      name: Schema.String,
      items: optional(Items),
      defaultMode: optional(Count),
      optional: optional(Schema.Boolean)
    })
  ),
  secret: optional(
    Schema.Struct({
      secretName: Schema.String,
      items: optional(Items),
      defaultMode: optional(Count),
      optional: optional(Schema.Boolean)
    })
  ),
  projected: optional(Schema.Struct({ sources: Schema.Array(ProjectedSource), defaultMode: optional(Count) })),
  downwardAPI: optional(Schema.Struct({ items: FieldItems, defaultMode: optional(Count) }))
})
export type Volume = typeof Volume.Type

export const PodSpec = Schema.Struct({
  serviceAccountName: optional(Schema.String),
  automountServiceAccountToken: optional(Schema.Boolean),
  initContainers: optional(Schema.Array(Container)),
  containers: Schema.NonEmptyArray(Container),
  volumes: optional(Schema.Array(Volume)),
  restartPolicy: optional(Schema.Literal("Always", "Never")),
  terminationGracePeriodSeconds: optional(Count),
  activeDeadlineSeconds: optional(Positive),
  dnsPolicy: optional(Schema.Literal("ClusterFirst")),
  hostNetwork: optional(Schema.Literal(false)),
  hostPID: optional(Schema.Literal(false)),
  hostIPC: optional(Schema.Literal(false)),
  shareProcessNamespace: optional(Schema.Literal(false)),
  ...withoutEffect("Pod.spec")
})
export type PodSpec = typeof PodSpec.Type

export const PodTemplate = Schema.Struct({
  metadata: optional(
    Schema.Struct({
      name: optional(Schema.String),
      labels: optional(Strings),
      annotations: optional(Strings),
      ...withoutEffect("metadata")
    })
  ),
  spec: PodSpec
})
export type PodTemplate = typeof PodTemplate.Type

/** Kubernetes' default grace between SIGTERM and SIGKILL, in seconds. */
export const DEFAULT_GRACE_SECONDS = 30
