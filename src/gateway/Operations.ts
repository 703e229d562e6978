/** The operations as HTTP and RPC offer them: a gateway carries them out itself, an edge asks a gateway. */
import { Context, Effect, Layer } from "effect"
import type { StartRun } from "../domain/Api.ts"
import type { Caller } from "../domain/Caller.ts"
import type { RecordedEvent } from "../domain/Event.ts"
import { EventId, type RunId, type SessionId } from "../domain/Ids.ts"
import type { Problem } from "../domain/Problem.ts"
import type { RunView } from "../domain/Run.ts"
import * as Runs from "./Runs.ts"

/** The model of runs that name none. */
export class DefaultModel extends Context.Tag("gateway/DefaultModel")<DefaultModel, string>() {}

export interface Page {
  readonly events: ReadonlyArray<RecordedEvent>
  readonly next: EventId
}

/** What each operation may fail with, here or at the gateway that is asked. */
type Common = Problem<"rate-limited"> | Problem<"agents-unavailable"> | Problem<"database-unavailable">

type ErrorOf<F extends (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, unknown>> =
  | Effect.Effect.Error<ReturnType<F>>
  | Common

export class Operations extends Context.Tag("gateway/Operations")<
  Operations,
  {
    readonly start: (
      caller: Caller,
      sessionId: SessionId,
      request: StartRun
    ) => Effect.Effect<RunView, ErrorOf<typeof Runs.start>>
    readonly status: (caller: Caller, runId: RunId) => Effect.Effect<RunView, ErrorOf<typeof Runs.find>>
    readonly events: (
      caller: Caller,
      runId: RunId,
      after: number,
      limit: number
    ) => Effect.Effect<Page, ErrorOf<typeof Runs.events>>
    readonly cancel: (caller: Caller, runId: RunId) => Effect.Effect<RunView, ErrorOf<typeof Runs.cancel>>
    readonly approve: (caller: Caller, runId: RunId) => Effect.Effect<RunView, ErrorOf<typeof Runs.approve>>
  }
>() {}

/** Carried out here. */
export const layer: Layer.Layer<Operations, never, Runs.Requirements | DefaultModel> = Layer.effect(
  Operations,
  Effect.gen(function* () {
    const context = yield* Effect.context<Runs.Requirements>()
    const model = yield* DefaultModel
    return Operations.of({
      start: (caller, sessionId, request) => Effect.provide(Runs.start(caller, sessionId, request, model), context),
      status: (caller, runId) => Effect.provide(Runs.find(caller, runId), context),
      events: (caller, runId, after, limit) =>
        Runs.events(caller, runId, after, limit).pipe(
          Effect.map((events) => ({ events, next: events.at(-1)?.eventId ?? EventId.make(after) })),
          Effect.provide(context)
        ),
      cancel: (caller, runId) => Effect.provide(Runs.cancel(caller, runId), context),
      approve: (caller, runId) => Effect.provide(Runs.approve(caller, runId), context)
    })
  })
)
