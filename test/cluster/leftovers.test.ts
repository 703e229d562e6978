/** What a rehearsal leaves on a cluster: nothing of its own, and everything of others. */
import { expect, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as Context from "../../src/rehearsal/drivers/kubernetes/Context.ts"
import * as KubernetesDriver from "../../src/rehearsal/drivers/kubernetes/KubernetesDriver.ts"
import { openCluster } from "./support.ts"

const priority = (name: string, value: number) => ({
  apiVersion: "scheduling.k8s.io/v1",
  kind: "PriorityClass",
  metadata: { name },
  value
})

it.scopedLive(
  "removes the namespaces and the cluster-wide objects that it made, and leaves those that were there",
  () =>
    Effect.gen(function* () {
      const others = yield* openCluster
      const id = crypto.randomUUID().slice(0, 8)
      const [theirs, own] = [priority(`deliver-theirs-${id}`, 1), priority(`deliver-own-${id}`, 2)]
      yield* others.apply([theirs])

      const context = yield* Context.find(process.env["CLUSTER_CONTEXT"])
      const scope = yield* Scope.make()
      const driver = yield* KubernetesDriver.make({
        context: context.name,
        stateFolder: "/nonexistent",
        namespace: (target) => `deliver-test-${id}-${target}`
      }).pipe(Scope.extend(scope))
      const targets = yield* Effect.forEach(["a", "b"], (target) => driver.open(target)).pipe(Scope.extend(scope))
      for (const target of targets) yield* target.apply([theirs, own])

      const { api } = yield* KubernetesDriver.make({
        context: context.name,
        stateFolder: "/nonexistent",
        namespace: () => ""
      })
      const there = (path: string) => Effect.isSuccess(api.call(path))
      const classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
      const all = Effect.all({
        theirs: there(`${classes}/${theirs.metadata.name}`),
        own: there(`${classes}/${own.metadata.name}`),
        a: there(`/api/v1/namespaces/deliver-test-${id}-a`),
        b: there(`/api/v1/namespaces/deliver-test-${id}-b`)
      })
      expect(yield* all).toEqual({ theirs: true, own: true, a: true, b: true })
      yield* Scope.close(scope, Exit.void)
      expect(yield* all).toEqual({ theirs: true, own: false, a: false, b: false })
    }),
  120_000
)
