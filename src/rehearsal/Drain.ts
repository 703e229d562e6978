/** Takes a node of production out of service under load, as an upgrade of the node would, and puts it back. */
import { Clock, Effect } from "effect"
import type { KubeObject, PodStatus } from "./drivers/Driver.ts"
import { type Progress, seconds } from "./Progress.ts"
import type { Step } from "./report/Report.ts"
import type { Target } from "./Target.ts"

const DEADLINE_MS = 300_000

const isWorkload = ({ owner }: Pick<PodStatus, "owner">) =>
  owner.startsWith("StatefulSet/") || owner.startsWith("Deployment/")

type Placed = Pick<PodStatus, "owner" | "phase" | "node">

/**
 * The node with most of the target's pods, or why there is none. Never one with a Job's pod on it: the load is one, and a
 * drain would end it. `nodes` are those that take pods. Pure.
 */
export const choose = (
  nodes: ReadonlyArray<string>,
  pods: ReadonlyArray<Placed>
): { readonly node: string } | { readonly why: string } => {
  if (nodes.length < 2) return { why: `only one node takes pods (${nodes.join("") || "none"}), they could go nowhere` }
  const busy = new Set(
    pods
      .filter(({ owner, phase }) => owner.startsWith("Job/") && (phase === "Running" || phase === "Pending"))
      .map(({ node }) => node)
  )
  const counted = nodes
    .filter((name) => !busy.has(name))
    .map((name) => ({ name, count: pods.filter((pod) => isWorkload(pod) && pod.node === name).length }))
    .toSorted((a, b) => b.count - a.count)
  const [most] = counted
  return most === undefined || most.count === 0
    ? { why: `no node but the load's (${[...busy].join(", ")}) has a pod of the target` }
    : { node: most.name }
}

/** `objects` are what runs there: they must all be ready again elsewhere. Undefined when no node could be drained. */
export const drain = (options: {
  readonly target: Target
  readonly nodes: ReadonlyArray<string>
  readonly objects: ReadonlyArray<KubeObject>
  readonly progress: Progress
}): Effect.Effect<Step | undefined> =>
  Effect.gen(function* () {
    const { target, progress } = options
    const where = target.stage.targetId
    const before = yield* target.cluster.pods
    const choice = choose(options.nodes, before)
    if ("why" in choice) {
      yield* progress.say(where, `  no node was drained: ${choice.why}`)
      return undefined
    }
    const { node } = choice
    const started = yield* Clock.currentTimeMillis
    const there = (pods: ReadonlyArray<PodStatus>) =>
      pods.filter((pod) => isWorkload(pod) && pod.node === node).map(({ name }) => name)
    const moved = yield* target.cluster.drainNode(node).pipe(
      Effect.zipRight(target.cluster.awaitRollout(options.objects, { deadlineMs: DEADLINE_MS })),
      Effect.zipRight(target.cluster.pods),
      Effect.map((pods) => {
        const left = there(pods)
        return left.length === 0 ? { ok: true, why: "" } : { ok: false, why: `still there: ${left.join(", ")}` }
      }),
      Effect.catchAll(({ message }) => Effect.succeed({ ok: false, why: message })),
      Effect.ensuring(
        target.cluster
          .uncordonNode(node)
          .pipe(Effect.catchAll(({ message }) => progress.say(where, `  ${node} stays out of service: ${message}`)))
      )
    )
    const durationMs = (yield* Clock.currentTimeMillis) - started
    yield* progress.say(
      where,
      `  ${`drain ${node}`.padEnd(26)} ${moved.ok ? "passed" : "failed"}  ${seconds(durationMs)}, ${there(before).length} pods moved under load${moved.why === "" ? "" : `: ${moved.why}`}`
    )
    return {
      name: `drain of ${node} on ${where}`,
      target: where,
      release: target.deployed.at(-1)?.name ?? "",
      durationMs,
      gates: [],
      outcome: moved.ok ? "succeeded" : "failed",
      expected: moved.ok
    }
  })
