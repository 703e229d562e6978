/** What the API server answers, as far as this driver reads it. Every field may be missing, as in Kubernetes itself. */
export interface Json {
  readonly [field: string]: unknown
}

export interface Meta {
  readonly name: string
  readonly uid: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: ReadonlyArray<{ readonly kind: string; readonly name: string; readonly uid: string }>
  readonly managedFields?: ReadonlyArray<{ readonly manager?: string; readonly operation?: string }>
}

export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string }
  readonly running?: { readonly startedAt?: string }
  readonly terminated?: {
    readonly exitCode: number
    readonly reason?: string
    readonly signal?: number
    /** What the container wrote to /dev/termination-log: at most 4 KiB, and kept with the pod's status, not on its node. */
    readonly message?: string
  }
}

export interface ContainerStatus {
  readonly name: string
  readonly ready: boolean
  readonly restartCount: number
  readonly image: string
  readonly state?: ContainerState
  readonly lastState?: ContainerState
}

export interface Pod {
  readonly metadata: Meta
  readonly spec: Json & {
    readonly nodeName?: string
    readonly containers: ReadonlyArray<
      Json & { readonly name: string; readonly image: string; readonly ports?: ReadonlyArray<Port> }
    >
  }
  readonly status?: {
    readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown"
    readonly reason?: string
    readonly message?: string
    readonly podIP?: string
    readonly startTime?: string
    readonly conditions?: ReadonlyArray<{
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly message?: string
    }>
    readonly containerStatuses?: ReadonlyArray<ContainerStatus>
    readonly initContainerStatuses?: ReadonlyArray<ContainerStatus>
  }
}

export interface Node {
  readonly metadata: Meta
  readonly spec?: {
    readonly unschedulable?: boolean
    readonly taints?: ReadonlyArray<{ readonly key: string; readonly effect: string }>
  }
  readonly status?: { readonly conditions?: ReadonlyArray<{ readonly type: string; readonly status: string }> }
}

/** Names of the nodes that a pod without tolerations can go to. */
export const takingPods = (nodes: ReadonlyArray<Node>): ReadonlyArray<string> =>
  nodes
    .filter(
      ({ spec, status }) =>
        spec?.unschedulable !== true &&
        !(spec?.taints ?? []).some(({ effect }) => effect === "NoSchedule" || effect === "NoExecute") &&
        (status?.conditions ?? []).some(({ type, status: is }) => type === "Ready" && is === "True")
    )
    .map(({ metadata }) => metadata.name)

export interface Port {
  readonly name?: string
  readonly containerPort: number
}

export interface StatefulSet {
  readonly metadata: Meta
  readonly spec: {
    readonly replicas?: number
    readonly podManagementPolicy?: string
    readonly updateStrategy?: { readonly type?: string; readonly rollingUpdate?: { readonly partition?: number } }
    readonly ordinals?: { readonly start?: number }
  }
  readonly status?: {
    readonly observedGeneration?: number
    readonly replicas?: number
    readonly readyReplicas?: number
    readonly updatedReplicas?: number
    readonly currentRevision?: string
    readonly updateRevision?: string
  }
}

export interface Deployment {
  readonly metadata: Meta
  readonly spec: { readonly replicas?: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly replicas?: number
    readonly updatedReplicas?: number
    readonly availableReplicas?: number
    readonly conditions?: ReadonlyArray<{ readonly type: string; readonly status: string; readonly reason?: string }>
  }
}

export interface ReplicaSet {
  readonly metadata: Meta
}

export interface Service {
  readonly metadata: Meta
  readonly spec: {
    readonly selector?: Readonly<Record<string, string>>
    readonly ports?: ReadonlyArray<{
      readonly name?: string
      readonly port: number
      readonly targetPort?: number | string
    }>
  }
}

export const itemsOf = <A>(list: Json): ReadonlyArray<A> => (list["items"] ?? []) as ReadonlyArray<A>
