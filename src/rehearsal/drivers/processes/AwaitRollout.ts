/**
 * Waits for workloads as Skaffold's status check does, but ends as soon as success is out of reach: an image that does
 * not exist, or a pod of the new revision that crashes again and again.
 */
import { Effect, Schedule } from "effect"
import { type KubeObject, RolloutFailed } from "../Driver.ts"
import { nameOf } from "./Admission.ts"
import { CRASH_LOOP, crashLooping, type PodRecord } from "./PodRecord.ts"
import type { WorkloadKind, Workloads } from "./Workloads.ts"

/** The state is in memory: looking is free. */
const LOOK_MS = 20
/** Lines of output that a failure shows. */
const LOG_LINES = 40

const lastLines = (pod: PodRecord | undefined): ReadonlyArray<string> =>
  (pod?.containers ?? []).flatMap(({ lines }) => lines).slice(-LOG_LINES)

const describe = (pod: PodRecord): string => {
  const parts = [
    pod.terminating ? "terminating" : pod.phase,
    pod.ready ? "ready" : "not ready",
    ...(pod.waiting ? [`${pod.waiting.reason}: ${pod.waiting.message}`] : []),
    ...pod.containers.flatMap(({ spec, restarts, exitCode }) =>
      restarts > 0 || exitCode
        ? [
            `container ${spec.name}: ${restarts} restarts${exitCode === undefined ? "" : `, last exit code ${exitCode}`}`
          ]
        : []
    )
  ]
  return `${pod.name} (${parts.join(", ")})`
}

/** Why the rollout can't succeed any more, if so. */
const hopeless = (
  object: string,
  revision: string | undefined,
  pods: ReadonlyArray<PodRecord>
): RolloutFailed | undefined => {
  for (const pod of pods) {
    if (pod.revision !== revision || pod.terminating || pod.ready) continue
    if (pod.waiting?.reason === "ImagePullBackOff") {
      return new RolloutFailed({
        object,
        message: `${object}: pod ${pod.name} can't get its image (ImagePullBackOff): ${pod.waiting.message}`,
        log: []
      })
    }
    const crashing = crashLooping(pod)
    if (crashing !== undefined) {
      return new RolloutFailed({
        object,
        message: `${object}: pod ${pod.name} does not stay up (CrashLoopBackOff): container ${crashing.spec.name} ended ${CRASH_LOOP} times in a row, last with exit code ${crashing.exitCode ?? "unknown"}. Its last lines say why.`,
        log: lastLines(pod)
      })
    }
  }
  return undefined
}

export const awaitRollout = (
  objects: ReadonlyArray<KubeObject>,
  deadlineMs: number,
  workloads: Workloads,
  pods: () => ReadonlyArray<PodRecord>,
  stop: (pod: string) => Effect.Effect<void>
): Effect.Effect<void, RolloutFailed> =>
  Effect.forEach(
    objects.filter(({ kind }) => kind === "StatefulSet" || kind === "Deployment"),
    (raw) => {
      const object = nameOf(raw)
      const kind = raw.kind as WorkloadKind
      const name = raw.metadata.name
      const own = () => pods().filter(({ owner }) => owner === object)
      const look = Effect.suspend(() => {
        const status = workloads.status(kind, name, pods())
        if (status === undefined) {
          return new RolloutFailed({
            object,
            message: `${object} was never applied to this cluster. Apply it, then wait for it.`,
            log: []
          })
        }
        if (status.done) return Effect.succeed(true)
        const stuck = workloads.stuck(kind, name, pods())
        if (stuck.length > 0) return Effect.as(Effect.forEach(stuck, stop, { discard: true }), false)
        return hopeless(object, workloads.updateRevision(kind, name), own()) ?? Effect.succeed(false)
      })
      const late = () => {
        const unready = own().filter(({ ready }) => !ready)
        const status = workloads.status(kind, name, pods())
        return new RolloutFailed({
          object,
          message: `${object} has not rolled out within ${deadlineMs / 1000} s. ${status?.message ?? ""} Pods that are not ready: ${unready.map(describe).join("; ") || "none"}.`,
          log: lastLines(unready[0])
        })
      }
      return look.pipe(
        Effect.repeat({ until: (done) => done, schedule: Schedule.spaced(LOOK_MS) }),
        Effect.timeoutFail({ duration: deadlineMs, onTimeout: late })
      )
    },
    { concurrency: "unbounded", discard: true }
  )
