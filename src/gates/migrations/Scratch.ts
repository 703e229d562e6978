/**
 * The scratch database: empty before and after, and made empty again when a run that was killed left something in it.
 *
 * What tells a leftover from a database of somebody else is a schema of ours that stands there while we work: only then is
 * anything dropped.
 */
import { Data, Effect } from "effect"
import type { Session, StatementFailed } from "../Database.ts"

/** The scratch database can't serve for this. */
export class ScratchUnusable extends Data.TaggedError("ScratchUnusable")<{ readonly message: string }> {}

const MARK = "deliver_scratch"
const SCHEMAS = ["agents", "cluster", MARK]
/** Of this session, and so gone with it: two runs in one scratch database would read each other's schema. */
const LOCK = "hashtext('deliver scratch')"

const unusable = (message: string) => new ScratchUnusable({ message })

const cannotAsk = ({ message, code }: StatementFailed) =>
  unusable(`Nothing can be done in the scratch database: ${message} (${code}). It needs the right to create in it.`)

const clear = (scratch: Session) => scratch.script(`drop schema if exists ${SCHEMAS.join(", ")} cascade`)

/** Gives the work an empty database that is its own, and empties it again. */
export const empty = <A, E, R>(
  scratch: Session,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E | ScratchUnusable, R> =>
  Effect.gen(function* () {
    const [row] = yield* scratch
      .query<{ mine: boolean; taken: boolean; left: boolean }>(
        `select pg_try_advisory_lock(${LOCK}) as mine, to_regnamespace('agents') is not null as taken, to_regnamespace('${MARK}') is not null as left`
      )
      .pipe(Effect.mapError(cannotAsk))
    if (row?.mine !== true) {
      return yield* unusable(
        "Another run works in the scratch database. Wait for its end, or give --scratch-url a database of this run's own."
      )
    }
    const use = Effect.gen(function* () {
      if (row.left) yield* clear(scratch).pipe(Effect.mapError(cannotAsk))
      else if (row.taken) {
        return yield* unusable(
          "The scratch database has a schema agents already, and no run of ours left it. Give --scratch-url an empty database: the history is replayed in it, and dropped."
        )
      }
      yield* scratch.script(`create schema ${MARK}`).pipe(Effect.mapError(cannotAsk))
      return yield* Effect.ensuring(work, Effect.ignore(clear(scratch)))
    })
    return yield* Effect.ensuring(use, Effect.ignore(scratch.script(`select pg_advisory_unlock(${LOCK})`)))
  })
