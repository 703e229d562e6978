/** The second pool of runners, off in every environment: what one line of settings makes of the overlays, as the gate judges them. */
import { execFile } from "node:child_process"
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { parseAllDocuments } from "yaml"
import { judge } from "../src/gates/manifests/ManifestGate.ts"
import type { DeliverySet } from "../src/gates/manifests/Rule.ts"
import { envValue, type KubeObject, workloads } from "../src/gates/manifests/Workload.ts"
import { sound } from "../test/hazards/manifests.ts"
import { repository } from "./delivery.ts"
import { environments, runnerPools } from "./names.ts"
import { componentFile, overlayComponent } from "./overlayComponent.ts"
import { readEnvironment } from "./settings.ts"
import { afterFirstBuild, captureAll, configOf } from "./testing/capture.ts"
import { typeErrors } from "./testing/kubernetesTypes.ts"

const folders: Array<string> = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

/** The delivery with the pool switched on everywhere, on databases of this tier. */
const withPool = async (tier: string): Promise<DeliverySet> => {
  const copy = mkdtempSync(join(tmpdir(), "enterprise-"))
  folders.push(copy)
  cpSync(join(repository, "k8s"), join(copy, "k8s"), { recursive: true })
  for (const environment of environments) {
    const config: Record<string, string> = { ...configOf(environment), "agents:enterprise": "true" }
    config["agents:database"] = config["agents:database"]!.replace(/db-custom-\d+-\d+/, tier)
    writeFileSync(componentFile(copy, environment), overlayComponent(environment, readEnvironment(environment, config)))
  }
  const build = async (path: string): Promise<ReadonlyArray<KubeObject>> => {
    const kustomize = join(repository, ".tools", "kustomize")
    const { stdout } = await promisify(execFile)(kustomize, ["build", join(copy, path)])
    return parseAllDocuments(stdout).map((document) => document.toJS() as KubeObject)
  }
  const steps = await Promise.all(sound.steps.map(async (step) => ({ ...step, objects: await build(step.overlay) })))
  return { ...sound, steps }
}

const judged = (set: DeliverySet) => Effect.runSync(judge(set, { release: "test", startedAt: new Date() }))
const BIG = "db-custom-4-15360"

describe("the enterprise pool", () => {
  it("is off: no overlay has a second StatefulSet", () => {
    const sets = sound.steps.flatMap(({ objects }) => workloads(objects).filter(({ kind }) => kind === "StatefulSet"))
    expect([...new Set(sets.map(({ name }) => name))]).toEqual([runnerPools.default])
  })

  it("is a StatefulSet with a Service and a budget of its own, which the gate passes in every phase", async () => {
    const set = await withPool(BIG)
    expect(judged(set).findings).toEqual([])
    for (const { objects, overlay } of set.steps) {
      const named = (kind: string) =>
        objects.filter((object) => object.kind === kind).map(({ metadata }) => metadata.name)
      expect(named("StatefulSet").sort(), overlay).toEqual(Object.values(runnerPools).sort())
      expect(named("Service"), overlay).toContain("effect-agent-runners-enterprise")
      expect(named("PodDisruptionBudget"), overlay).toContain(runnerPools.enterprise)
      // Nothing selects the pods of both: not a set, not a Service, not a budget.
      const selectors = objects.flatMap(({ kind, spec }) => {
        const { selector } = (spec ?? {}) as { selector?: { app?: string; matchLabels?: { app: string } } }
        return ["StatefulSet", "Service", "PodDisruptionBudget"].includes(kind)
          ? [selector?.matchLabels?.app ?? selector?.app]
          : []
      })
      for (const pool of Object.values(runnerPools))
        expect(
          selectors.filter((app) => app === pool),
          overlay
        ).toHaveLength(3)
      expect(typeErrors(repository, objects)).toEqual([])
    }
  })

  it("takes the shards of its group, and the other runners those of theirs; all know of both groups alike", async () => {
    for (const { objects, overlay } of (await withPool(BIG)).steps) {
      const said = (name: string) =>
        Object.fromEntries(
          workloads(objects)
            .filter(({ kind }) => kind === "StatefulSet")
            .map((pool) => [pool.name, envValue(objects, pool.pod.containers[0]!, name)])
        )
      expect(said("ASSIGNED_SHARD_GROUPS"), overlay).toEqual({
        [runnerPools.default]: "default",
        [runnerPools.enterprise]: "enterprise"
      })
      const { [runnerPools.default]: one, [runnerPools.enterprise]: other } = said("SHARD_GROUPS")
      expect(other, overlay).toBe(one)
      // Once each: of two values of one name Kubernetes takes the last.
      for (const { pod } of workloads(objects)) {
        const names = pod.containers[0]!.env.map(({ name }) => name)
        expect(new Set(names).size).toBe(names.length)
      }
    }
  })

  it("goes through the phases of prod as the other pool does: one runner first, then all", async () => {
    const pools = (await withPool(BIG)).steps
      .filter(({ target }) => target === "prod")
      .map(({ objects }) =>
        workloads(objects).flatMap(({ kind, spec }) =>
          kind === "StatefulSet"
            ? [{ replicas: spec.replicas, partition: spec.updateStrategy?.rollingUpdate?.partition }]
            : []
        )
      )
    expect(pools).toEqual([
      [
        { replicas: 3, partition: 2 },
        { replicas: 3, partition: 2 }
      ],
      [
        { replicas: 3, partition: 0 },
        { replicas: 3, partition: 0 }
      ]
    ])
  })

  it("is counted: on prod's tier of today the gate refuses it for its connections, and for nothing else", async () => {
    const { findings } = judged(await withPool("db-custom-2-7680"))
    expect(findings.map(({ rule, what }) => `${rule}: ${what}`)).toEqual([
      "connection-budget: The pods may open 152 connections; 127 are planned for.",
      "connection-budget: The pods may open 152 connections; 127 are planned for."
    ])
  })

  it("has its metrics collected, where it is on", async () => {
    const monitored = async (enterprise: boolean) => {
      const stacks = await captureAll(["prod"], (stack) => ({
        ...afterFirstBuild(stack, configOf(stack)),
        ...(stack === "prod" ? { "agents:enterprise": String(enterprise) } : {})
      }))
      return stacks
        .flatMap(({ resources }) => resources)
        .filter(({ inputs }) => inputs["kind"] === "PodMonitoring")
        .map(({ inputs }) => (inputs["metadata"] as { name: string }).name)
    }
    expect((await monitored(false)).sort()).toEqual(["agent-gateway", runnerPools.default])
    expect((await monitored(true)).sort()).toEqual(["agent-gateway", ...Object.values(runnerPools)])
  })
})
