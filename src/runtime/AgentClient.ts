/**
 * Calls a session from a process that carries none, such as the gateway.
 *
 * Every call may be repeated, so this repeats it: a runner that is killed, drained or replaced answers with a broken
 * connection, an interruption or silence, and the next owner of the session answers properly some seconds later. A call
 * ends: with an answer, with the session's own error, or with `AgentUnavailable`.
 */
import { Cause, Clock, Duration, Effect, Exit, Option } from "effect"
import { Agent } from "../agent/Agent.ts"
import { AgentUnavailable, type Ask } from "../domain/AgentRpcs.ts"
import { agentEntityId, type RunId, type SessionId, type TenantId } from "../domain/Ids.ts"

/** Long enough for a takeover after `kill -9` (5 s) and for one that meets a rebalance as well. */
const PATIENCE = Duration.seconds(20)
/** A runner that is frozen takes the call and says nothing: ask again, its shards may have moved. */
const ATTEMPT = Duration.seconds(5)
const PAUSE = Duration.millis(100)

export interface SessionKey {
  readonly tenantId: TenantId
  readonly sessionId: SessionId
}

export class AgentClient extends Effect.Service<AgentClient>()("runtime/AgentClient", {
  effect: Effect.gen(function* () {
    const clientOf = yield* Agent.client

    const persist = <A, E extends { readonly _tag: string }>(session: SessionKey, call: Effect.Effect<A, E>) =>
      Effect.gen(function* () {
        const started = yield* Clock.currentTimeMillis
        const deadline = started + Duration.toMillis(PATIENCE)
        while (true) {
          const left = Duration.millis(Math.max(1, deadline - (yield* Clock.currentTimeMillis)))
          const exit = yield* call.pipe(Effect.timeoutOption(Duration.min(ATTEMPT, left)), Effect.exit)
          if (Exit.isSuccess(exit) && Option.isSome(exit.value)) return exit.value.value
          if (Exit.isFailure(exit)) {
            const failure = Cause.failureOption(exit.cause)
            if (Option.isSome(failure) && !isClusterError(failure.value)) return yield* Effect.fail(failure.value)
            yield* Effect.logDebug("A call to a session failed and is sent again", exit.cause)
          }
          const now = yield* Clock.currentTimeMillis
          if (now >= deadline) {
            return yield* new AgentUnavailable({ sessionId: session.sessionId, waitedMillis: now - started })
          }
          yield* Effect.sleep(PAUSE)
        }
      }) as Effect.Effect<A, Exclude<E, { readonly _tag: ClusterErrorTag }> | AgentUnavailable>

    const of = ({ tenantId, sessionId }: SessionKey) => clientOf(agentEntityId(tenantId, sessionId))

    return {
      ask: (session: SessionKey, ask: Ask) => persist(session, of(session).Ask(ask)),
      cancel: (session: SessionKey, runId: RunId, by: string) => persist(session, of(session).Cancel({ runId, by })),
      approve: (session: SessionKey, runId: RunId, by: string) => persist(session, of(session).Approve({ runId, by })),
      status: (session: SessionKey, runId: RunId) => persist(session, of(session).Status({ runId }))
    }
  })
}) {}

type ClusterErrorTag = "MailboxFull" | "AlreadyProcessingMessage" | "PersistenceError"
const clusterErrors: ReadonlyArray<string> = [
  "MailboxFull",
  "AlreadyProcessingMessage",
  "PersistenceError"
] satisfies ReadonlyArray<ClusterErrorTag>

const isClusterError = (error: { readonly _tag: string }): boolean => clusterErrors.includes(error._tag)
