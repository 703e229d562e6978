/**
 * Where the pods of a target run.
 *
 * A driver takes rendered Kubernetes objects and makes them true, as a cluster would: `processes` runs each container as a
 * process on a loopback address, `kubernetes` hands them to a cluster. The rollout engine knows only this interface.
 */
import { Data, type Effect, type Scope } from "effect"

/** A rendered Kubernetes object, as kustomize prints it. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

/** The manifest asks for something that this driver can't do. Nothing of the set was applied. */
export class ManifestRefused extends Data.TaggedError("ManifestRefused")<{
  /** `StatefulSet/effect-agent-runtime`. */
  readonly object: string
  /** The field's path, such as `spec.template.spec.hostNetwork`. */
  readonly field: string
  readonly message: string
}> {}

/** A workload did not become ready in time, or can't. */
export class RolloutFailed extends Data.TaggedError("RolloutFailed")<{
  readonly object: string
  readonly message: string
  /** The last lines that the failing pod printed. */
  readonly log: ReadonlyArray<string>
}> {}

export class DriverFailed extends Data.TaggedError("DriverFailed")<{ readonly message: string }> {}

/** The named thing does not exist in this target. */
export class NotFound extends Data.TaggedError("NotFound")<{ readonly object: string; readonly message: string }> {}

export interface PodStatus {
  readonly name: string
  /** `StatefulSet/effect-agent-runtime`. */
  readonly owner: string
  readonly address: string
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed"
  readonly ready: boolean
  readonly terminating: boolean
  readonly restarts: number
  /** `name@sha256:…` of each container. */
  readonly images: ReadonlyArray<string>
  /** Absent while it has none. */
  readonly node?: string
  /** Of its owner's pod template: pods of one release share it. Opaque. */
  readonly revision: string
  /** The operating system's process id; absent where the driver has none. */
  readonly pid?: number
  readonly startedAt: Date
}

export interface Pruned {
  readonly removed: ReadonlyArray<string>
  /** What the release no longer has and stays all the same, each with its reason. */
  readonly kept: ReadonlyArray<string>
}

export interface JobOutcome {
  readonly exitCode: number
  readonly durationMs: number
  /** The container's output, oldest first, bounded to the last 10,000 lines. */
  readonly log: ReadonlyArray<string>
  readonly timedOut: boolean
  /** What the container wrote to /dev/termination-log, where the driver has such a file. Unlike a log it outlives its pod. */
  readonly lastWords?: string
}

export interface JobOptions {
  readonly timeoutMs: number
  /** Set in every container beside the manifest's own, as Cloud Deploy does with its variables and deploy parameters. */
  readonly env: Readonly<Record<string, string>>
  readonly onLine?: (line: string) => void
}

/** One target's cluster: a namespace with everything in it. */
export interface Cluster {
  /** The target's id. */
  readonly target: string
  /** Whether all objects, Jobs among them, could be applied as they are. Applies nothing. */
  readonly check: (objects: ReadonlyArray<KubeObject>) => Effect.Effect<void, ManifestRefused | DriverFailed>
  /** Applies all objects or, when one of them is refused, none. Like `kubectl apply`: nothing is pruned. */
  readonly apply: (objects: ReadonlyArray<KubeObject>) => Effect.Effect<void, ManifestRefused | DriverFailed>
  /** Waits as Skaffold's status check does: every Deployment and StatefulSet of the set has rolled out. */
  readonly awaitRollout: (
    objects: ReadonlyArray<KubeObject>,
    options: { readonly deadlineMs: number }
  ) => Effect.Effect<void, RolloutFailed>
  /** Runs a Job to its end. A failing container is an outcome, not an error. */
  readonly runJob: (job: KubeObject, options: JobOptions) => Effect.Effect<JobOutcome, ManifestRefused | DriverFailed>
  readonly pods: Effect.Effect<ReadonlyArray<PodStatus>>
  /** Deletes a pod as the API does. Grace 0 is SIGKILL at once; its owner replaces it. */
  readonly deletePod: (name: string, options: { readonly gracePeriodSeconds?: number }) => Effect.Effect<void, NotFound>
  /**
   * Removes what carries the labels of this set's pipeline and target and is no longer in it. Never data, identities or rights,
   * nor what pods of an older release still read.
   */
  readonly prune: (objects: ReadonlyArray<KubeObject>) => Effect.Effect<Pruned, DriverFailed>
  /** Takes the node out of service and moves this target's pods elsewhere, within their PodDisruptionBudgets. */
  readonly drainNode: (node: string) => Effect.Effect<void, NotFound | DriverFailed>
  readonly uncordonNode: (node: string) => Effect.Effect<void, NotFound | DriverFailed>
  /** An address on this machine that reaches the Service's named or numbered port. */
  readonly serviceAddress: (
    service: string,
    port: string | number
  ) => Effect.Effect<{ readonly host: string; readonly port: number }, NotFound>
}

export interface Driver {
  readonly name: "processes" | "kubernetes"
  /** Opens a target's cluster. Closing the scope ends everything that runs in it. */
  readonly open: (target: string) => Effect.Effect<Cluster, DriverFailed, Scope.Scope>
}
