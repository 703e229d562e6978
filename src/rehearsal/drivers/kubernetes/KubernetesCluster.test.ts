import { tmpdir } from "node:os"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { KubeObject } from "../Driver.ts"
import { type Api, ApiError } from "./Api.ts"
import * as KubernetesCluster from "./KubernetesCluster.ts"

const away = new ApiError({
  status: 0,
  reason: "Unreachable",
  message: "connect ECONNREFUSED 127.0.0.1:6443",
  causes: []
})
const unreachable: Api = {
  context: "kind-away",
  call: () => Effect.fail(away),
  text: () => Effect.fail(away),
  lines: () => Effect.fail(away),
  resource: () => Effect.fail(away)
}

it.scoped(
  "says that the cluster does not answer, for a dry run as for an apply: no defect, no word about the manifest",
  () =>
    Effect.gen(function* () {
      const cluster = yield* KubernetesCluster.make({
        target: "dev",
        api: unreachable,
        from: "agents",
        namespace: "rehearsal-dev",
        logFolder: tmpdir()
      })
      const settings: KubeObject = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" } }
      for (const ask of [cluster.check([settings]), cluster.apply([settings])]) {
        const failed = yield* Effect.flip(ask)
        expect(failed._tag).toBe("DriverFailed")
        expect(failed.message).toContain("kind-away")
        expect(failed.message).toContain("ECONNREFUSED")
      }
    })
)
