/**
 * Whether the journal is written: under `auto`, only while every release that may still run reads it.
 *
 * A release from before the journal knows nothing of `agents.steps`: taking an execution over, it would carry out again each
 * step that is recorded there. Nothing is lost by waiting for it to retire, since both kinds read what the other wrote.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Schedule, type Scope } from "effect"
import { CurrentProcess } from "../../domain/CurrentProcess.ts"
import { allRead, load } from "./statements.ts"

/**
 * How long a runner may go on to write after a release was recorded that reads no journal. A trigger refuses such a record
 * once there are steps; its pods come after the record, and start slower than this.
 */
const LOOK = "5 seconds"

/** Does every other process that may take an execution over read the journal? */
export const everyoneReads = (release: string): Effect.Effect<boolean, SqlError, SqlClient> =>
  Effect.map(allRead.run(release, load.name), ([row]) => row?.allRead ?? false)

/** `journal` runs steps in their execution and records each as one row; `stock` makes them messages, as the library does. */
export type Kind = "auto" | "stock" | "journal"

/** Answers at once whether a run that begins now writes. Under `auto` looked at before the first, and again now and then. */
export const writes = (kind: Kind): Effect.Effect<() => boolean, never, Scope.Scope | SqlClient> =>
  Effect.gen(function* () {
    if (kind !== "auto") return () => kind === "journal"
    const { release } = yield* CurrentProcess
    let now: boolean | undefined
    const look = everyoneReads(release).pipe(
      Effect.tap((all) => {
        if (all === now) return Effect.void
        now = all
        return Effect.logInfo(
          all
            ? "Steps are recorded in the journal: every release that may run reads it"
            : "Steps are stored as messages: a release may run that reads no journal"
        )
      }),
      // Who can't ask goes on as before: without the database nothing is written either.
      Effect.catchAllCause((cause) => Effect.logWarning("Could not ask which releases read the journal", cause))
    )
    yield* look
    yield* Effect.forkScoped(Effect.schedule(look, Schedule.spaced(LOOK)))
    return () => now === true
  })
