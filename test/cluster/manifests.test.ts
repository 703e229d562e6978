/** The manifests against a real API server: strict about fields that no schema knows, and through its admission. Nothing is made. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { renderAll } from "../goldens/render.ts"
import { openCluster } from "./support.ts"

it.scopedLive(
  "every rendered object of every overlay passes the API server's strict dry run",
  () =>
    Effect.gen(function* () {
      const cluster = yield* openCluster
      const image = process.env["CLUSTER_IMAGE"] ?? ""
      const goldens = yield* renderAll({ agents: image, "agents-smoke": image })
      for (const { objects } of goldens) yield* cluster.check(objects)
      expect(goldens.flatMap(({ objects }) => objects).length).toBeGreaterThan(30)
      expect(yield* cluster.pods).toEqual([])
    }),
  120_000
)

it.scopedLive("the dry run is strict: it refuses a field that is misspelt, and says where", () =>
  Effect.gen(function* () {
    const cluster = yield* openCluster
    const goldens = yield* renderAll()
    const gateway = goldens.flatMap(({ objects }) => objects).find(({ kind }) => kind === "Deployment")!
    const misspelt = { ...gateway, spec: { ...(gateway["spec"] as object), minReadySecond: 1 } }
    const refused = yield* Effect.flip(cluster.check([misspelt]))
    expect(refused).toMatchObject({ _tag: "ManifestRefused", object: "Deployment/agent-gateway" })
    expect(refused.message).toContain("minReadySecond")
  })
)
