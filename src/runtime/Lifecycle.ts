/** Where in its life a process is. Readiness asks; the wiring says. */
import { Effect, Layer, Ref } from "effect"

export type Phase = "starting" | "serving" | "stopping"

export class Lifecycle extends Effect.Service<Lifecycle>()("runtime/Lifecycle", {
  effect: Effect.map(Ref.make<Phase>("starting"), (phase) => ({
    phase: Ref.get(phase),
    serving: Ref.set(phase, "serving"),
    stopping: Ref.set(phase, "stopping")
  }))
}) {}

/**
 * Serving for as long as it lives. Built last, so closed first: what is asked for readiness sees `stopping` before the
 * first shard is given away.
 */
export const serving: Layer.Layer<never, never, Lifecycle> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const lifecycle = yield* Lifecycle
    yield* Effect.acquireRelease(lifecycle.serving, () => lifecycle.stopping)
    yield* Effect.addFinalizer(() => Effect.logInfo("Stopping: giving shards away, letting begun steps finish"))
  })
)
