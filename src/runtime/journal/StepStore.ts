/**
 * Reads and writes the journal, for many fibers in one round trip each. A fiber goes on after its own row's commit.
 */
import type { SqlError } from "@effect/sql/SqlError"
import { Context, Effect, Exit, Layer } from "effect"
import { isTransient } from "../../events/EventStore.ts"
import { Pool } from "../Database.ts"
import * as Batcher from "../storage/Batcher.ts"
import { bounds, CLOSE_WITHIN, refused, runner } from "../storage/prepared.ts"
import * as statements from "./statements.ts"

/** One attempt of a step, as in the engine's own keys. */
export const stepKey = (name: string, attempt: number): string => `${name}/${attempt}`

export interface Step {
  readonly execution_id: string
  readonly name: string
  readonly attempt: number
  /** The encoded exit, as JSON. */
  readonly exit: string
  readonly release: string
  readonly fingerprint: string
  readonly started_at: string
  readonly finished_at: string
  /** The shard that the execution lies on, and under which number its runner took it. */
  readonly shard_id: string
  readonly epoch: string
}

export type Recorded =
  | { readonly _tag: "written" }
  /** Another run of the step was first: its exit is the outcome. */
  | { readonly _tag: "lost"; readonly exit: string }
  /** The shard was taken by another runner since. */
  | { readonly _tag: "fenced" }

/** Recorded exits by `stepKey`. */
export type Exits = ReadonlyMap<string, string>

export interface Asked {
  readonly executionId: string
  /** The key under which the library's engine would have the first step that is asked for. */
  readonly messageKey: string | undefined
}

export interface Loaded {
  readonly exits: Exits
  /** Whether the library's engine has a message with that key. */
  readonly ofEngine: boolean
}

export class StepStore extends Context.Tag("runtime/StepStore")<
  StepStore,
  {
    readonly load: (asked: Asked) => Effect.Effect<Loaded, SqlError>
    readonly record: (step: Step) => Effect.Effect<Recorded, SqlError>
  }
>() {}

const written: Exit.Exit<Recorded> = Exit.succeed({ _tag: "written" })
const fenced: Exit.Exit<Recorded> = Exit.succeed({ _tag: "fenced" })
const nothing: Exits = new Map()

const make = Effect.gen(function* () {
  const run = runner(yield* Pool)

  const read = (executionIds: ReadonlyArray<string>, messageKeys: ReadonlyArray<string>) =>
    Effect.map(run(statements.load, executionIds, messageKeys), (rows) => {
      const found = new Map<string, Map<string, string>>()
      const messages = new Set<string>()
      for (const { executionId, name, attempt, exit, messageKey } of rows) {
        if (messageKey !== null) messages.add(messageKey)
        if (executionId === null || name === null || attempt === null || exit === null) continue
        const exits = found.get(executionId) ?? new Map<string, string>()
        found.set(executionId, exits.set(stepKey(name, attempt), exit))
      }
      return { found, messages }
    })

  const loads = Batcher.make<Asked, Loaded, SqlError>({
    ...bounds,
    bytes: ({ executionId, messageKey }) => executionId.length + (messageKey?.length ?? 0),
    exclusive: () => undefined,
    isRowsFault: () => false,
    refused,
    trip: (all) =>
      Effect.map(
        read(
          all.map(({ executionId }) => executionId),
          all.flatMap(({ messageKey }) => messageKey ?? [])
        ),
        ({ found, messages }) =>
          all.map(({ executionId, messageKey }) =>
            Exit.succeed({
              exits: found.get(executionId) ?? nothing,
              ofEngine: messageKey !== undefined && messages.has(messageKey)
            })
          )
      )
  })

  const records = Batcher.make<Step, Recorded, SqlError>({
    ...bounds,
    bytes: ({ exit }) => exit.length,
    exclusive: () => undefined,
    isRowsFault: (error) => !isTransient(error),
    refused,
    trip: (steps) =>
      Effect.gen(function* () {
        const rows = JSON.stringify(steps.map((step, place) => ({ place, ...step })))
        const [answer] = yield* run(statements.record, rows, steps.length)
        if (answer === undefined || answer.written === null) return steps.map(() => written)
        const fresh = new Set(answer.written)
        const stale = new Set(answer.fenced)
        const lost = steps.filter((_, place) => !fresh.has(place) && !stale.has(place))
        // A statement of its own: the row that was in the way may be younger than what the first one could see.
        const ids = lost.map((step) => step.execution_id)
        const others: ReadonlyMap<string, Exits> = ids.length === 0 ? new Map() : (yield* read(ids, [])).found
        return steps.map((step, place) => {
          if (fresh.has(place)) return written
          if (stale.has(place)) return fenced
          const exit = others.get(step.execution_id)?.get(stepKey(step.name, step.attempt))
          // Gone again: the execution was removed as finished, so its shard is another's or it runs for a second time.
          return exit === undefined ? fenced : Exit.succeed<Recorded>({ _tag: "lost", exit })
        })
      })
  })

  yield* Effect.addFinalizer(() =>
    Effect.all([records.close, loads.close], { concurrency: "unbounded", discard: true }).pipe(
      Effect.interruptible,
      Effect.timeoutOption(CLOSE_WITHIN)
    )
  )
  return StepStore.of({ load: loads.submit, record: records.submit })
})

export const layer: Layer.Layer<StepStore, never, Pool> = Layer.scoped(StepStore, make)
