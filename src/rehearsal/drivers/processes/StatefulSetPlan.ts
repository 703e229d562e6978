/**
 * What a StatefulSet's controller does next, as a pure value.
 *
 * Follows Kubernetes' `pkg/controller/statefulset/stateful_set_control.go` (updateStatefulSet): replicas are made in order, those that are too
 * many removed from the top, and only then is one pod at a time replaced, from the highest ordinal down to the partition.
 * With OrderedReady every step waits for all pods before it, so a pod that never becomes Ready also blocks the way *back*
 * (Kubernetes' documentation calls it "forced rollback": delete the pod by hand).
 */

export interface SetSpec {
  readonly start: number
  readonly replicas: number
  readonly partition: number
  readonly policy: "OrderedReady" | "Parallel"
  /** The revision of the template last rolled out completely: what ordinals below the partition run. */
  readonly currentRevision: string
  /** The revision of the template as applied last. */
  readonly updateRevision: string
}

export interface SetPod {
  readonly ordinal: number
  readonly revision: string
  readonly terminating: boolean
  /** Ready for at least minReadySeconds. */
  readonly available: boolean
}

export type SetAction =
  | { readonly _tag: "Create"; readonly ordinal: number; readonly revision: string }
  | { readonly _tag: "Delete"; readonly ordinal: number }

const revisionFor = (spec: SetSpec, ordinal: number) =>
  ordinal < spec.partition ? spec.currentRevision : spec.updateRevision

const healthy = (pod: SetPod | undefined) => pod?.available === true && !pod.terminating

export const planStatefulSet = (spec: SetSpec, pods: ReadonlyArray<SetPod>): ReadonlyArray<SetAction> => {
  const ordered = spec.policy === "OrderedReady"
  const byOrdinal = new Map(pods.map((pod) => [pod.ordinal, pod]))
  const ordinals = Array.from({ length: spec.replicas }, (_, index) => spec.start + index)
  const actions: Array<SetAction> = []

  for (const ordinal of ordinals) {
    const pod = byOrdinal.get(ordinal)
    if (pod === undefined) {
      actions.push({ _tag: "Create", ordinal, revision: revisionFor(spec, ordinal) })
      if (ordered) return actions
    } else if (ordered && !healthy(pod)) return actions
  }

  const condemned = pods
    .filter(({ ordinal }) => ordinal < spec.start || ordinal >= spec.start + spec.replicas)
    .sort((left, right) => right.ordinal - left.ordinal)
  for (const pod of condemned) {
    if (!pod.terminating) actions.push({ _tag: "Delete", ordinal: pod.ordinal })
    // Ordered: the next one only after this one is gone.
    if (ordered) return actions
  }

  for (const ordinal of ordinals.toReversed()) {
    if (ordinal < spec.partition) break
    const pod = byOrdinal.get(ordinal)
    if (pod !== undefined && pod.revision !== spec.updateRevision && !pod.terminating) {
      return [...actions, { _tag: "Delete", ordinal }]
    }
    if (!healthy(pod)) break
  }
  return actions
}

/** Whether the update reached every pod, so that the update revision becomes the current one. Never with a partition left. */
export const updateComplete = (spec: SetSpec, pods: ReadonlyArray<SetPod>): boolean =>
  spec.partition <= spec.start &&
  pods.length === spec.replicas &&
  pods.every((pod) => pod.revision === spec.updateRevision && healthy(pod))
