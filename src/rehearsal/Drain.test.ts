import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { choose, drain } from "./Drain.ts"
import { type Cluster, NotFound, type PodStatus, RolloutFailed } from "./drivers/Driver.ts"
import type { Progress } from "./Progress.ts"
import type { Target } from "./Target.ts"

const pod = (owner: string, node: string) => ({ name: `${owner}@${node}`, owner, node, phase: "Running" }) as PodStatus
const runner = (node: string) => pod("StatefulSet/runtime", node)
const load = (node: string) => pod("Job/load", node)

it("takes the node with most pods of the target, and never the load's", () => {
  expect(choose(["a", "b", "c"], [runner("a"), runner("a"), load("a"), runner("b"), runner("c"), runner("c")])).toEqual(
    {
      node: "c"
    }
  )
  expect(choose(["a"], [runner("a")])).toMatchObject({ why: expect.stringContaining("only one node") })
  expect(choose(["a", "b"], [runner("a"), load("a")])).toMatchObject({ why: expect.stringContaining("load's (a)") })
  // A Job that has ended does not hold its node.
  expect(choose(["a", "b"], [runner("a"), { ...load("a"), phase: "Succeeded" }])).toEqual({ node: "a" })
})

const drained = (changes: Partial<Cluster>) =>
  Effect.gen(function* () {
    const asked: Array<string> = []
    const say = (what: string) => Effect.sync(() => void asked.push(what))
    let pods = [runner("a"), runner("b"), load("b")]
    const cluster = {
      pods: Effect.sync(() => pods),
      drainNode: (node: string) =>
        say(`drain ${node}`).pipe(Effect.zipRight(Effect.sync(() => (pods = [runner("b"), runner("b"), load("b")])))),
      awaitRollout: () => say("await"),
      uncordonNode: (node: string) => say(`uncordon ${node}`),
      ...changes
    } as unknown as Cluster
    const target = { stage: { targetId: "prod" }, cluster, deployed: [{ name: "r-1" }] } as unknown as Target
    const progress = { say: () => Effect.void } as unknown as Progress
    const step = yield* drain({ target, nodes: ["a", "b"], objects: [], progress })
    return { asked, step }
  })

it.effect("moves the pods away, waits until all are ready again, and puts the node back", () =>
  Effect.gen(function* () {
    const { asked, step } = yield* drained({})
    expect(asked).toEqual(["drain a", "await", "uncordon a"])
    expect(step).toMatchObject({ name: "drain of a on prod", release: "r-1", outcome: "succeeded", expected: true })
  })
)

it.effect("fails, and puts the node back, when pods stay or do not become ready elsewhere", () =>
  Effect.gen(function* () {
    const failed = { outcome: "failed", expected: false }
    const stay = yield* drained({ drainNode: () => Effect.void })
    expect(stay).toMatchObject({ asked: ["await", "uncordon a"], step: failed })
    const unready = yield* drained({
      awaitRollout: () => new RolloutFailed({ object: "StatefulSet/runtime", message: "1 of 2", log: [] })
    })
    expect(unready).toMatchObject({ asked: ["drain a", "uncordon a"], step: failed })
    const gone = yield* drained({ drainNode: () => new NotFound({ object: "Node/a", message: "no such node" }) })
    expect(gone).toMatchObject({ asked: ["uncordon a"], step: failed })
  })
)
