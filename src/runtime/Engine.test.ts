import { Sharding } from "@effect/cluster"
import { expect, it } from "@effect/vitest"
import { DurableDeferred } from "@effect/workflow"
import { Effect, Exit, Layer, Schema } from "effect"
import { vi } from "vitest"
import { migratedDatabase } from "../../test/support/migrated-database.ts"
import { oneRunner, workflowById } from "../../test/support/one-runner.ts"
import { until } from "../../test/support/wait.ts"

vi.setConfig({ testTimeout: 90_000 })

const Go = DurableDeferred.make("Go", { success: Schema.String })
const Waits = workflowById("Waits", Schema.String)

it.scopedLive("keeps nothing of executions that have ended or wait, and wakes those that wait", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    yield* Effect.gen(function* () {
      const { activeEntityCount } = yield* Sharding.Sharding
      const ids = yield* Effect.forEach(["a", "b", "c"], (id) => Waits.execute({ id }, { discard: true }))
      yield* Effect.forEach(ids, (id) => until("it waits", Waits.poll(id), (result) => result?._tag === "Suspended"))
      expect(yield* activeEntityCount).toBe(3)
      yield* until("none is kept", activeEntityCount, (count) => count === 0, "45 seconds")
      yield* Effect.forEach(ids, (executionId) =>
        DurableDeferred.done(Go, {
          token: DurableDeferred.tokenFromExecutionId(Go, { workflow: Waits, executionId }),
          exit: Exit.succeed("go")
        })
      )
      yield* Effect.forEach(ids, (id) => until("it ends", Waits.poll(id), (result) => result?._tag === "Complete"))
    }).pipe(
      Effect.provide(
        Waits.toLayer(() => DurableDeferred.await(Go)).pipe(
          Layer.provideMerge(
            oneRunner(database.urlOf("runtime"), { stepEngine: "journal", messageStorage: "group" }, "one", "test")
          )
        )
      )
    )
  })
)
