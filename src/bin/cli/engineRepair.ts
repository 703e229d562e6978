/** Takes poisoned answers back. An operator's act, in one transaction with its record. */
import { Effect } from "effect"
import { poisonedOn } from "../../data/EngineTables.ts"
import { ExitCode } from "../../domain/ExitCode.ts"
import { Database } from "../../gates/Database.ts"
import { fromSqlError } from "../../gates/migrations/State.ts"
import { CliError } from "./Verb.ts"

const refuse = (exitCode: ExitCode, message: string) => new CliError({ exitCode, message })

interface Repaired {
  readonly workflow: string
  readonly tag: string
  readonly messageId: string
}

/**
 * The reply goes to the record, the message is unprocessed and unread again: the form in which the library's own
 * `clearReplies` leaves one. What the execution has done is kept, so nothing that was recorded is done again.
 */
export const repair = (options: { readonly execution: string; readonly by: string; readonly why: string }) =>
  Effect.gen(function* () {
    const { execution, by, why } = options
    const session = yield* Effect.flatMap(Database, (database) => database.session)
    const [place] = yield* session.query<{ shard: string; workflow: string }>(
      `select shard_id as shard, substr(entity_type, 10) as workflow from cluster.cluster_messages
       where entity_id = $1 and kind = 0 and entity_type like 'Workflow/%'
         and entity_type <> 'Workflow/-/DurableClock' limit 1`,
      [execution]
    )
    if (place === undefined) {
      return yield* refuse(
        ExitCode.preconditionMissing,
        `No execution ${execution} is in this database. "deliver engine poisoned" lists those that can be repaired.`
      )
    }
    const found = (yield* poisonedOn(place.shard).pipe(Effect.mapError(fromSqlError))).filter(
      ({ executionId }) => executionId === execution
    )
    if (found.length === 0) {
      return yield* refuse(
        ExitCode.preconditionMissing,
        `Nothing of execution ${execution} is poisoned: it is open as it should be, or it has its result. Nothing was changed.`
      )
    }
    const strangers = yield* session.query<{ runner: string; release: string }>(
      `select runner, release from agents.runners
       where seen_at > now() - interval '1 minute' and not coalesce(carries->'workflows' ? $1, false) order by runner`,
      [place.workflow]
    )
    if (strangers.length > 0) {
      return yield* refuse(
        ExitCode.refused,
        `${strangers.map(({ runner, release }) => `${runner} (${release})`).join(", ")} does not carry ${place.workflow}: the execution could be poisoned again there at once. Finish the rollout, or roll back, until every live runner carries it; then run this again. Nothing was changed.`
      )
    }
    const repaired: Array<Repaired> = []
    yield* session.script("begin")
    for (const { messageId, tag, workflow } of found) {
      const [kept] = yield* session.query<{ id: string }>(
        `with reply as (
           delete from cluster.cluster_replies where request_id = $1 and kind = 0 returning payload
         )
         insert into agents.engine_repairs (workflow, execution_id, message_id, tag, reply, repaired_by, why)
         select $2, $3, $1, $4, payload, $5, $6 from reply returning message_id::text as id`,
        [messageId, workflow, execution, tag, by, why]
      )
      // Somebody else was quicker.
      if (kept === undefined) continue
      yield* session.query("delete from cluster.cluster_messages where request_id = $1 and kind = 2", [messageId])
      yield* session.query(
        `update cluster.cluster_messages set processed = false, last_reply_id = null, last_read = null
         where request_id = $1`,
        [messageId]
      )
      repaired.push({ workflow, tag, messageId })
    }
    yield* session.script("commit")
    return repaired as ReadonlyArray<Repaired>
  }).pipe(Effect.scoped)
