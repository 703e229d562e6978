import { expect, it } from "@effect/vitest"
import { deploymentStatus, statefulSetStatus } from "./RolloutStatus.ts"

it.each([
  [{ replicas: 3, partition: 2, updated: 1, ready: 3 }, true, "partitioned roll out complete: 1 new pods"],
  [{ replicas: 3, partition: 2, updated: 0, ready: 3 }, false, "0 out of 1 new pods"],
  [{ replicas: 3, partition: 2, updated: 1, ready: 2 }, false, "Waiting for 1 pods to be ready"],
  [{ replicas: 3, partition: 0, updated: 1, ready: 3 }, false, "1 out of 3 new pods"],
  // What Skaffold takes for a success, and the reason why such a manifest is refused.
  [{ replicas: 3, partition: 3, updated: 0, ready: 3 }, true, "0 new pods"]
] as const)("judges a StatefulSet %o as kubectl does", (state, done, words) => {
  const status = statefulSetStatus(state)
  expect(status.done).toBe(done)
  expect(status.message).toContain(words)
})

it.each([
  [{ replicas: 2, total: 2, updated: 1, available: 1 }, false, "1 out of 2 new replicas"],
  [{ replicas: 2, total: 3, updated: 2, available: 2 }, false, "1 old replicas are pending termination"],
  [{ replicas: 2, total: 2, updated: 2, available: 1 }, false, "1 of 2 updated replicas are available"],
  [{ replicas: 2, total: 2, updated: 2, available: 2 }, true, "successfully rolled out"]
] as const)("judges a Deployment %o as kubectl does", (state, done, words) => {
  const status = deploymentStatus(state)
  expect(status.done).toBe(done)
  expect(status.message).toContain(words)
})
