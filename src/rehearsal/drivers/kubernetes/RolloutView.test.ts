/** The table of what `kubectl rollout status` says, and where this driver knows better. */
import { describe, expect, it } from "vitest"
import type { Pod, StatefulSet } from "./Json.ts"
import { judge } from "./RolloutView.ts"

const object = { apiVersion: "apps/v1", kind: "StatefulSet", metadata: { name: "runtime" } }

interface Case {
  readonly partition?: number
  readonly updated: number
  readonly ready?: number
  readonly generation?: number
  readonly replicas?: number
}

const set = (
  { partition = 0, updated, ready = 3, generation = 1, replicas = 3 }: Case,
  policy = "Parallel"
): StatefulSet => ({
  metadata: { name: "runtime", uid: "set", generation },
  spec: { replicas: 3, podManagementPolicy: policy, updateStrategy: { rollingUpdate: { partition } } },
  status: {
    observedGeneration: 1,
    replicas,
    readyReplicas: ready,
    updatedReplicas: updated,
    currentRevision: "old",
    updateRevision: "new"
  }
})

const pod = (name: string, revision: string, status: Pod["status"] = {}): Pod => ({
  metadata: {
    name,
    uid: name,
    labels: { "controller-revision-hash": revision },
    ownerReferences: [{ kind: "StatefulSet", name: "runtime", uid: "set" }]
  },
  spec: { containers: [] },
  status
})

const view = (statefulSet: StatefulSet, pods: ReadonlyArray<Pod> = []) => ({
  statefulSets: [statefulSet],
  deployments: [],
  replicaSets: [],
  pods
})

const broken = (waiting: { reason: string; message?: string }, restartCount = 0): Pod["status"] => ({
  phase: "Pending",
  containerStatuses: [
    {
      name: "app",
      ready: false,
      restartCount,
      image: "",
      state: { waiting },
      ...(restartCount === 0 ? {} : { lastState: { terminated: { exitCode: 3 } } })
    }
  ]
})

describe("a StatefulSet's rollout", () => {
  it.each([
    [{ partition: 2, updated: 1 }, true, "partitioned roll out complete: 1 new pods"],
    [{ partition: 2, updated: 0 }, false, "0 out of 1 new pods"],
    [{ partition: 2, updated: 1, ready: 2 }, false, "Waiting for 1 pods to be ready"],
    [{ updated: 1 }, false, "1 out of 3"],
    [{ updated: 3 }, true, "complete"],
    [{ updated: 3, generation: 2 }, false, "spec update to be observed"],
    [{ updated: 3, replicas: 4 }, false, "Waiting for 1 pods to be gone"]
  ] as const)("%o is done: %s", (given, done, message) => {
    const verdict = judge(object, view(set(given)))
    expect(verdict?.status.done).toBe(done)
    expect(verdict?.status.message).toContain(message)
  })

  it("is hopeless when the new revision's image does not exist, not when an old pod has the trouble", () => {
    const status = broken({ reason: "ImagePullBackOff", message: "no such image" })
    const given = set({ updated: 0, ready: 2 })
    expect(judge(object, view(given, [pod("runtime-2", "new", status)]))?.hopeless?.message).toContain("no such image")
    expect(judge(object, view(given, [pod("runtime-2", "old", status)]))?.hopeless).toBeUndefined()
  })

  it("is hopeless at the third crash in a row", () => {
    const given = set({ updated: 0, ready: 2 })
    const crashes = (restarts: number) =>
      judge(object, view(given, [pod("runtime-2", "new", broken({ reason: "CrashLoopBackOff" }, restarts))]))?.hopeless
    expect(crashes(1)).toBeUndefined()
    expect(crashes(2)?.message).toMatch(/3 times in a row, last with exit code 3/)
  })

  it("is held up by a broken pod of an unwanted revision only where the order is strict", () => {
    const pods = [pod("runtime-2", "old", broken({ reason: "ImagePullBackOff" }))]
    expect(judge(object, view(set({ updated: 0, ready: 2 }, "OrderedReady"), pods))?.stuck).toEqual(["runtime-2"])
    expect(judge(object, view(set({ updated: 0, ready: 2 }), pods))?.stuck).toEqual([])
    // Below the partition the old revision is the one that is wanted.
    const kept = set({ partition: 3, updated: 0, ready: 2 }, "OrderedReady")
    expect(judge(object, view(kept, pods))?.stuck).toEqual([])
  })
})
