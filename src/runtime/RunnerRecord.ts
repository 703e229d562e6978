/**
 * Says in the database what this runner carries, while it lives. Starts and gates read it: a name may be started only where
 * every live runner knows it, since a runner answers a message for an unknown type with a permanent failure.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Layer, Schedule } from "effect"
import { carries } from "../agent/registry.ts"
import { CurrentProcess } from "../domain/CurrentProcess.ts"
import * as Joining from "./Joining.ts"
import { beat, forget, leave } from "./statements.ts"

const INTERVAL = "5 seconds"

/** `askPort`: where this runner answers gates, if it does (`CarryAnswer.ts`). */
export const make = (askPort: number | undefined): Layer.Layer<never, SqlError | Joining.WouldStrand, SqlClient> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const { name, release } = yield* CurrentProcess
      const row = { ...carries, ...(askPort === undefined ? {} : { ask: { port: askPort } }) }
      const say = beat.run(name, release, JSON.stringify(row))
      // The first one must succeed: a runner that can't say what it carries must not take work.
      const [said] = yield* Effect.acquireRelease(say, () =>
        Effect.ignore(Effect.timeout(leave.run(name, release), "2 seconds"))
      )
      yield* Joining.check(release, said?.transaction ?? "0")
      yield* Effect.andThen(say, forget.run()).pipe(
        Effect.catchAllCause((cause) => Effect.logWarning("Could not renew what this runner carries", cause)),
        Effect.schedule(Schedule.spaced(INTERVAL)),
        Effect.forkScoped
      )
    })
  )
