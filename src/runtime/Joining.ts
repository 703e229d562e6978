/**
 * Whether a runner may join the ring: only when it carries everything that is open in its database.
 *
 * A message that reaches a runner which does not know its type waits there for as long as the runner lives, and is answered
 * with a permanent failure in the end (`ClusterSettings`, `entityRegistrationTimeout`). So this is looked at before the first
 * shard is taken. Starts, from their side, choose what every live runner carries (`runs.accept`). The two can't miss each
 * other: a runner first says what it carries, waits until whoever was writing just then has ended, and only then looks.
 *
 * What is judged here are types: workflows and entities. Their steps and schemas are the workflow gate's.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Data, Effect, Schedule } from "effect"
import { type Carries, carries } from "../agent/registry.ts"
import { openBeside, settled } from "./statements.ts"

export interface Uncarried {
  /** `Workflow/AgentWorkflowV2`, `Agent`. */
  readonly type: string
  readonly open: number
  readonly ids: ReadonlyArray<string>
}

/** The process must end with `ExitCode.wouldStrand`: a restart of the same release does not help. */
export class WouldStrand extends Data.TaggedError("WouldStrand")<{
  readonly release: string
  readonly uncarried: ReadonlyArray<Uncarried>
}> {
  override get message(): string {
    const lines = this.uncarried.map(
      ({ type, open, ids }) =>
        `  - ${type}: ${open} open: ${ids.join(", ")}${open > ids.length ? `, and ${open - ids.length} more` : ""}`
    )
    return (
      `Release ${this.release} does not carry work that is open in this database, so this runner does not join the ring:\n${lines.join("\n")}\n` +
      "On its shards that work would stand still, and be answered with a permanent failure in the end. " +
      "Deploy a release that carries it, or let it end under the present one first (deliver gate workflows, with this release's image, says the same)."
    )
  }
}

/** The types of messages that this release answers, as the cluster's tables name them. */
export const typesOf = ({ workflows, entities }: Carries): ReadonlyArray<string> => [
  ...Object.keys(workflows).map((name) => `Workflow/${name}`),
  ...Object.keys(entities),
  // The library's own.
  "Workflow/-/DurableClock"
]

/** Starts take milliseconds. Another's long transaction, a backfill's, must not keep a runner from joining. */
const PATIENCE = "5 seconds"

/** `transaction` is the one that said what this runner carries. */
export const check = (release: string, transaction: string): Effect.Effect<void, WouldStrand | SqlError, SqlClient> =>
  Effect.gen(function* () {
    yield* settled
      .run(transaction)
      .pipe(
        Effect.repeat({ until: ([row]) => row?.settled === true, schedule: Schedule.spaced("20 millis") }),
        Effect.timeoutOption(PATIENCE)
      )
    const uncarried = yield* openBeside.run(JSON.stringify(typesOf(carries)))
    if (uncarried.length > 0) return yield* new WouldStrand({ release, uncarried })
  })
