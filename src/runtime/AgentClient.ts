/**
 * Calls a session from a process that carries none, such as the gateway.
 *
 * Every call may be repeated, so this repeats it: a runner that is killed, drained or replaced answers with a broken
 * connection, an interruption or silence, and the next owner of the session answers properly some seconds later. A call
 * ends: with an answer, with the session's own error, or with `AgentUnavailable`.
 */
import { Cache, Cause, Clock, Duration, Effect, Exit, Option } from "effect"
import { Agent } from "../agent/Agent.ts"
import { agentWorkflowV2Enterprise } from "../agent/v2/Enterprise.ts"
import { AgentUnavailable, type Ask } from "../domain/AgentRpcs.ts"
import { agentEntityId, ENTERPRISE, type RunId, type SessionId, type TenantId } from "../domain/Ids.ts"
import { ownSessions } from "./statements.ts"

/** Long enough for a takeover after `kill -9` (5 s) and for one that meets a rebalance as well. */
const PATIENCE = Duration.seconds(20)
/** A runner that is frozen takes the call and says nothing: ask again, its shards may have moved. */
const ATTEMPT = Duration.seconds(5)
const PAUSE = Duration.millis(100)
/**
 * How long a tenant's sessions are looked for where they were, after its tier changed or a runner came that carries them in
 * one place alone: less than PATIENCE, so that a call which met the wrong place is answered at the right one.
 */
const PLACE_FOR = Duration.seconds(5)
const PLACES = 10_000

export interface SessionKey {
  readonly tenantId: TenantId
  readonly sessionId: SessionId
}

export class AgentClient extends Effect.Service<AgentClient>()("runtime/AgentClient", {
  effect: Effect.gen(function* () {
    const clientOf = yield* Agent.client
    const places = yield* Cache.makeWith({
      capacity: PLACES,
      lookup: (tenantId: TenantId) => ownSessions.run(tenantId, ENTERPRISE, agentWorkflowV2Enterprise.workflow.name),
      timeToLive: Exit.match({ onSuccess: () => PLACE_FOR, onFailure: () => Duration.zero })
    })

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

    const call = <A, E extends { readonly _tag: string }>(
      session: SessionKey,
      by: (its: ReturnType<typeof clientOf>) => Effect.Effect<A, E>
    ) =>
      persist(
        session,
        Effect.flatMap(Effect.orDie(places.get(session.tenantId)), ([place]) =>
          by(clientOf(agentEntityId(session.tenantId, session.sessionId, place?.own ? ENTERPRISE : undefined)))
        )
      )

    return {
      ask: (session: SessionKey, ask: Ask) => call(session, (its) => its.Ask(ask)),
      cancel: (session: SessionKey, runId: RunId, by: string) => call(session, (its) => its.Cancel({ runId, by })),
      approve: (session: SessionKey, runId: RunId, by: string) => call(session, (its) => its.Approve({ runId, by })),
      status: (session: SessionKey, runId: RunId) => call(session, (its) => its.Status({ runId }))
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
