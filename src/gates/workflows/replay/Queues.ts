/** Where a replayed execution's items go: nowhere. Offering one again is no effect, since the real store keeps one of a key. */
import { PersistedQueueFactory, TypeId } from "@effect/experimental/PersistedQueue"
import { Effect, Layer } from "effect"

export const layer: Layer.Layer<PersistedQueueFactory> = Layer.succeed(PersistedQueueFactory, {
  make: () =>
    Effect.succeed({
      [TypeId]: TypeId,
      offer: (_item, options) => Effect.succeed(options?.id ?? ""),
      take: () => Effect.never
    })
})
