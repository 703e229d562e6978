import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { DeliveryStage, ReleaseFiles } from "./Delivery.ts"
import type { Cluster, JobOutcome, KubeObject } from "./drivers/Driver.ts"
import type { TargetPlatform } from "./Platform.ts"
import type { Progress } from "./Progress.ts"
import type { Release } from "./release/Release.ts"
import { rollOut, type Target } from "./Target.ts"

const phase = (phaseId: string) => ({ phaseId, profiles: [phaseId], predeploy: [], verify: true, postdeploy: [] })
const setOf = (phaseId: string): ReadonlyArray<KubeObject> => [
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `of-${phaseId}` } }
]

/** Two phases; the smoke run of the named one fails. Returns what was asked of the cluster, in order. */
const asked = (failing?: string) =>
  Effect.gen(function* () {
    const said: Array<string> = []
    const say = (what: string) => Effect.sync(() => void said.push(what))
    const outcome = (name: string): JobOutcome => ({
      exitCode: name === failing ? 1 : 0,
      durationMs: 1,
      log: [],
      timedOut: false
    })
    const cluster = {
      pods: Effect.succeed([
        { owner: "StatefulSet/runtime", ready: true, terminating: false, images: ["agents@1"] },
        { owner: "StatefulSet/runtime", ready: true, terminating: false, images: ["agents@0"] }
      ]),
      apply: ([object]: ReadonlyArray<KubeObject>) => say(`apply ${object!.metadata.name}`),
      awaitRollout: () => Effect.void,
      runJob: (job: KubeObject) => say(`smoke ${job.metadata.name}`).pipe(Effect.as(outcome(job.metadata.name))),
      prune: ([object]: ReadonlyArray<KubeObject>) =>
        say(`prune ${object!.metadata.name}`).pipe(Effect.as({ removed: [], kept: [] }))
    } as unknown as Cluster
    const target: Target = {
      stage: { targetId: "dev", phases: [phase("one-replica"), phase("stable")] } as unknown as DeliveryStage,
      cluster,
      platform: {} as TargetPlatform,
      deployed: [{ name: "r-0", images: { agents: "agents@0" } } as unknown as Release]
    }
    const files = {
      pipelineId: "agents",
      phase: ({ profiles: [phaseId = ""] }: { readonly profiles: ReadonlyArray<string> }) => ({
        manifests: Effect.succeed(setOf(phaseId)),
        action: () => Effect.succeed([]),
        verify: Effect.succeed([
          { name: "smoke", timeoutMs: 1, job: { apiVersion: "batch/v1", kind: "Job", metadata: { name: phaseId } } }
        ]),
        deadlineMs: 1
      })
    } as unknown as ReleaseFiles
    const progress = { say: () => Effect.void, quote: () => Effect.void } as unknown as Progress
    const release = { name: "r-1", images: { agents: "agents@1" } } as unknown as Release
    const { steps } = yield* rollOut({
      target,
      release,
      files,
      progress,
      purpose: "this",
      expected: "succeeded",
      number: 1
    })
    return { said, steps }
  })

it.effect("prunes once, when the last phase has ended well, and by the set of that phase", () =>
  Effect.gen(function* () {
    expect((yield* asked()).said).toEqual([
      "apply of-one-replica",
      "smoke one-replica",
      "apply of-stable",
      "smoke stable",
      "prune of-stable"
    ])
  })
)

it.effect("prunes nothing of the release before while this one may still be left", () =>
  Effect.gen(function* () {
    expect((yield* asked("one-replica")).said).toEqual(["apply of-one-replica", "smoke one-replica"])
    expect((yield* asked("stable")).said.filter((one) => one.startsWith("prune"))).toEqual([])
  })
)

it.effect("says of a phase that another follows which releases were live when it ended", () =>
  Effect.gen(function* () {
    const { steps } = yield* asked()
    expect(steps.map(({ live }) => live)).toEqual([
      [
        { release: "r-1", runners: 1 },
        { release: "r-0", runners: 1 }
      ],
      undefined
    ])
  })
)
