/** Whether this gateway is stopping. Readiness, responses and sockets look here. */
import { Context, Deferred, Effect, Layer } from "effect"

export class Lifecycle extends Context.Tag("gateway/Lifecycle")<
  Lifecycle,
  {
    readonly isStopping: Effect.Effect<boolean>
    /** Ends when stopping has begun. */
    readonly stopping: Effect.Effect<void>
    readonly beginStop: Effect.Effect<void>
  }
>() {
  static readonly layer: Layer.Layer<Lifecycle> = Layer.effect(
    Lifecycle,
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      return {
        isStopping: Deferred.isDone(latch),
        stopping: Deferred.await(latch),
        beginStop: Effect.asVoid(Deferred.succeed(latch, undefined))
      }
    })
  )
}
