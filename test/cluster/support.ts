/** A namespace of its own on the cluster of kubectl's context, gone when the test ends. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import * as Context from "../../src/rehearsal/drivers/kubernetes/Context.ts"
import * as KubernetesDriver from "../../src/rehearsal/drivers/kubernetes/KubernetesDriver.ts"

export const openCluster = Effect.gen(function* () {
  const context = yield* Context.find(process.env["CLUSTER_CONTEXT"])
  yield* Context.requireLocal(context, process.env["CLUSTER_CONTEXT_IS_MINE"])
  const stateFolder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kubernetes-driver-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const namespace = `deliver-test-${crypto.randomUUID().slice(0, 8)}`
  const driver = yield* KubernetesDriver.make({
    context: context.name,
    stateFolder,
    namespace: () => namespace,
    awaitRemoval: false
  })
  return yield* driver.open("test")
}).pipe(Effect.catchTag("PreconditionMissing", ({ message }) => Effect.die(new Error(message))))
