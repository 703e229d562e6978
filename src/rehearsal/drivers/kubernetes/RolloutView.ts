/**
 * Whether the cluster's workloads have rolled out, as Skaffold's status check sees it, and whether they still can. Pure.
 *
 * Skaffold asks `kubectl rollout status`; the same fields are read here, so that a hopeless rollout ends at once, with its reason,
 * and not at the deadline.
 */
import type { KubeObject } from "../Driver.ts"
import { deploymentStatus, type Status, statefulSetStatus } from "../processes/RolloutStatus.ts"
import type { Deployment, Pod, ReplicaSet, StatefulSet } from "./Json.ts"

export interface View {
  readonly statefulSets: ReadonlyArray<StatefulSet>
  readonly deployments: ReadonlyArray<Deployment>
  readonly replicaSets: ReadonlyArray<ReplicaSet>
  readonly pods: ReadonlyArray<Pod>
}

export interface Verdict {
  readonly status: Status
  /** Why success is out of reach, and whose output says more. */
  readonly hopeless?: { readonly message: string; readonly pod?: string }
  /** Pods of a revision that nobody wants any more and that keep the controller from going on. */
  readonly stuck: ReadonlyArray<string>
  readonly unready: ReadonlyArray<Pod>
}

/** A container that ended this often without becoming ready. */
const CRASH_LOOP = 3
const IMAGE_REASONS = new Set(["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])

export const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true

const statusesOf = (pod: Pod) => [
  ...(pod.status?.initContainerStatuses ?? []),
  ...(pod.status?.containerStatuses ?? [])
]

export const describe = (pod: Pod): string => {
  const unscheduled = pod.status?.conditions?.find(({ type, status }) => type === "PodScheduled" && status === "False")
  const parts = [
    pod.metadata.deletionTimestamp === undefined ? (pod.status?.phase ?? "Pending") : "terminating",
    isReady(pod) ? "ready" : "not ready",
    ...(unscheduled === undefined ? [] : [`${unscheduled.reason}: ${unscheduled.message}`]),
    ...statusesOf(pod).flatMap(({ name, state, lastState, restartCount }) => [
      ...(state?.waiting?.reason === undefined || state.waiting.reason === "ContainerCreating"
        ? []
        : [`${state.waiting.reason}${state.waiting.message === undefined ? "" : `: ${state.waiting.message}`}`]),
      ...(restartCount === 0
        ? []
        : [
            `container ${name}: ${restartCount} restarts, last exit code ${lastState?.terminated?.exitCode ?? "unknown"}`
          ])
    ])
  ]
  return `${pod.metadata.name} (${parts.join(", ")})`
}

const hopelessPod = (object: string, pods: ReadonlyArray<Pod>): Verdict["hopeless"] => {
  for (const pod of pods) {
    if (pod.metadata.deletionTimestamp !== undefined || isReady(pod)) continue
    for (const { name, state, lastState, restartCount } of statusesOf(pod)) {
      const waiting = state?.waiting
      if (waiting?.reason !== undefined && IMAGE_REASONS.has(waiting.reason)) {
        return {
          message: `${object}: pod ${pod.metadata.name} can't get its image (${waiting.reason}): ${waiting.message ?? "the kubelet said no more"}`
        }
      }
      const ended = state?.terminated ?? lastState?.terminated
      if (restartCount >= CRASH_LOOP - 1 && ended !== undefined && state?.running === undefined) {
        return {
          message: `${object}: pod ${pod.metadata.name} does not stay up (CrashLoopBackOff): container ${name} ended ${CRASH_LOOP} times in a row, last with exit code ${ended.exitCode}. Its last lines say why.`,
          pod: pod.metadata.name
        }
      }
    }
  }
  return undefined
}

const ownedBy = (uid: string) => (one: { readonly metadata: Pod["metadata"] }) =>
  one.metadata.ownerReferences?.some((owner) => owner.uid === uid) === true

const verdict = (
  status: Status,
  pods: ReadonlyArray<Pod>,
  hopeless: Verdict["hopeless"],
  stuck: ReadonlyArray<string> = []
): Verdict => ({
  status,
  stuck,
  unready: pods.filter((pod) => !isReady(pod)),
  ...(status.done || hopeless === undefined ? {} : { hopeless })
})

const missing = (object: string): Verdict => ({
  status: { done: false, message: "" },
  hopeless: { message: `${object} is not in the cluster. Apply it, then wait for it.` },
  stuck: [],
  unready: []
})

const ordinalOf = (pod: Pod) => Number(pod.metadata.name.slice(pod.metadata.name.lastIndexOf("-") + 1))

const ofStatefulSet = (object: string, set: StatefulSet, view: View): Verdict => {
  const pods = view.pods.filter(ownedBy(set.metadata.uid))
  const status = set.status
  const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0
  if (status?.observedGeneration === undefined || status.observedGeneration < (set.metadata.generation ?? 0)) {
    return verdict({ done: false, message: "Waiting for statefulset spec update to be observed..." }, pods, undefined)
  }
  const replicas = set.spec.replicas ?? 1
  const start = set.spec.ordinals?.start ?? 0
  // Of a scale-down kubectl sees nothing; whoever waits for it wants the pods gone.
  const extra = (status.replicas ?? 0) > replicas
  const revision = status.updateRevision ?? ""
  const said = statefulSetStatus({
    replicas,
    partition: partition - start,
    ready: status.readyReplicas ?? 0,
    // Always the count: kubectl calls a rollback complete as soon as the revision is the old one again, with pods of the new one left.
    updated: status.updatedReplicas ?? 0
  })
  const updating = pods.filter((pod) => pod.metadata.labels?.["controller-revision-hash"] === revision)
  const stuck =
    set.spec.podManagementPolicy === "Parallel"
      ? []
      : pods
          .filter(
            (pod) =>
              ordinalOf(pod) >= partition &&
              !isReady(pod) &&
              pod.metadata.deletionTimestamp === undefined &&
              pod.metadata.labels?.["controller-revision-hash"] !== revision
          )
          .map((pod) => pod.metadata.name)
  return verdict(
    extra && said.done
      ? { done: false, message: `Waiting for ${(status.replicas ?? 0) - replicas} pods to be gone...` }
      : said,
    pods,
    hopelessPod(object, updating),
    stuck
  )
}

const ofDeployment = (object: string, deployment: Deployment, view: View): Verdict => {
  const sets = view.replicaSets.filter(ownedBy(deployment.metadata.uid))
  const newest = sets.find(
    ({ metadata }) =>
      metadata.annotations?.["deployment.kubernetes.io/revision"] ===
      deployment.metadata.annotations?.["deployment.kubernetes.io/revision"]
  )
  const pods = view.pods.filter((pod) => sets.some((set) => ownedBy(set.metadata.uid)(pod)))
  const status = deployment.status
  if (status?.observedGeneration === undefined || status.observedGeneration < (deployment.metadata.generation ?? 0)) {
    return verdict({ done: false, message: "Waiting for deployment spec update to be observed..." }, pods, undefined)
  }
  const late = status.conditions?.some(
    ({ type, reason }) => type === "Progressing" && reason === "ProgressDeadlineExceeded"
  )
  const updating = newest === undefined ? [] : pods.filter(ownedBy(newest.metadata.uid))
  return verdict(
    deploymentStatus({
      replicas: deployment.spec.replicas ?? 1,
      total: status.replicas ?? 0,
      updated: status.updatedReplicas ?? 0,
      available: status.availableReplicas ?? 0
    }),
    pods,
    hopelessPod(object, updating) ??
      (late === true ? { message: `${object} exceeded its progress deadline (ProgressDeadlineExceeded).` } : undefined)
  )
}

/** Undefined for objects that roll nothing out. */
export const judge = (object: KubeObject, view: View): Verdict | undefined => {
  const name = `${object.kind}/${object.metadata.name}`
  const named = (one: { readonly metadata: Pod["metadata"] }) => one.metadata.name === object.metadata.name
  if (object.kind === "StatefulSet") {
    const set = view.statefulSets.find(named)
    return set === undefined ? missing(name) : ofStatefulSet(name, set, view)
  }
  if (object.kind === "Deployment") {
    const deployment = view.deployments.find(named)
    return deployment === undefined ? missing(name) : ofDeployment(name, deployment, view)
  }
  return undefined
}
