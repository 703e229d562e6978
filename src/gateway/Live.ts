/** The ports over the cluster's client and the event store. */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Duration, Effect, Layer, Schedule } from "effect"
import { EventId } from "../domain/Ids.ts"
import { EventStore, isTransient } from "../events/EventStore.ts"
import { Feed } from "../events/Feed.ts"
import { AgentClient } from "../runtime/AgentClient.ts"
import { Agents, Load, Records, StorageUnavailable } from "./Ports.ts"
import * as statements from "./statements.ts"

/**
 * Reads are repeated over a broken connection or a failover for this long, before the client hears 503. Well inside the
 * 30 s that clients and load balancers commonly wait.
 */
const READ_PATIENCE = Duration.seconds(10)

const patiently = <A>(read: Effect.Effect<A, SqlError>): Effect.Effect<A, StorageUnavailable> =>
  read.pipe(
    // What the server refuses (a missing column) is a defect: waiting would not mend it.
    Effect.catchAll((error) => (isTransient(error) ? Effect.fail(error) : Effect.die(error))),
    Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo(READ_PATIENCE))),
    Effect.mapError((cause) => new StorageUnavailable({ cause }))
  )

export const agents: Layer.Layer<Agents, never, AgentClient> = Layer.effect(
  Agents,
  Effect.map(AgentClient, (client) =>
    Agents.of({
      ask: client.ask,
      cancel: (session, { runId, by }) => client.cancel(session, runId, by),
      approve: (session, { runId, by }) => client.approve(session, runId, by)
    })
  )
)

export const records: Layer.Layer<Records, never, EventStore | Feed> = Layer.effect(
  Records,
  Effect.gen(function* () {
    const store = yield* EventStore
    const feed = yield* Feed
    return Records.of({
      run: (tenantId, runId) => patiently(store.run(tenantId, runId)),
      runEvents: (tenantId, runId, after, limit) => patiently(store.ofRun(tenantId, runId, EventId.make(after), limit)),
      next: ({ tenantId, sessionId }, after, atOnce) =>
        Effect.mapError(feed.next(tenantId, sessionId, after, atOnce), (cause) => new StorageUnavailable({ cause }))
    })
  })
)

/** Counts for admission. Not repeated: who is to be let in must not wait for who was before. */
export const load: Layer.Layer<Load, never, SqlClient> = Layer.effect(
  Load,
  Effect.gen(function* () {
    const sql = yield* SqlClient
    const first = <A>(rows: Effect.Effect<ReadonlyArray<A>, SqlError, SqlClient>) =>
      rows.pipe(
        Effect.provideService(SqlClient, sql),
        Effect.flatMap(([row]) => (row === undefined ? Effect.dieMessage("A count has no row") : Effect.succeed(row))),
        Effect.mapError((cause) => new StorageUnavailable({ cause }))
      )
    return Load.of({
      allowance: (tenantId) =>
        first(statements.tenantAllowance.run(tenantId)).pipe(
          Effect.map(({ requestsPerSecond, openRuns, tokensPerDay, tokensToday }) => ({
            ...(requestsPerSecond === null ? {} : { requestsPerSecond }),
            ...(openRuns === null ? {} : { openRuns }),
            ...(tokensPerDay === null ? {} : { tokensPerDay }),
            tokensToday
          }))
        ),
      tenant: (tenantId, runId, starting, atMost) =>
        first(statements.tenantLoad.run(tenantId, runId, JSON.stringify(starting), atMost)),
      working: (atMost) => Effect.map(first(statements.working.run(atMost)), ({ working }) => working)
    })
  })
)
