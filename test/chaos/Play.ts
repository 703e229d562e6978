/** Plays a scenario on a fleet: clients ask and follow while faults strike; then all is healed, and the history is taken. */
import { Clock, Data, Effect, Schedule, Stream } from "effect"
import type { RecordedEvent } from "../../src/domain/Event.ts"
import { RunId, SessionId, TenantId } from "../../src/domain/Ids.ts"
import { EventStore } from "../../src/events/EventStore.ts"
import { Feed } from "../../src/events/Feed.ts"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { follow } from "../support/feed.ts"
import type { Fleet } from "./Fleet.ts"
import type { Asked, History, OpenMessage, RunRow, StepRow, UsageRow } from "./History.ts"
import * as Owners from "./Owners.ts"
import type { PlannedRun, Scenario } from "./Scenario.ts"

const tenantId = TenantId.make("chaos")

/**
 * Within this time after the last fault everything accepted must have ended: a takeover (15 s from a frozen runner), a
 * termination timeout (15 s), the search for forgotten runs (15 s and each 10 s), one after the other, and a busy machine.
 */
const QUIET_WITHIN = 60_000

class NotYet extends Data.TaggedError("NotYet") {}

/** A client does not give up: it sends the same call again until it is answered, or everything should long be over. */
const persist = <A, E, R>(call: Effect.Effect<A, E, R>, done: (error: E) => boolean = () => false) =>
  call.pipe(
    Effect.retry({
      schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo(QUIET_WITHIN)),
      while: (error: E) => !done(error)
    }),
    Effect.option
  )

type Told = { -readonly [K in keyof Asked]: Asked[K] }

const carryOut = (planned: PlannedRun, told: Told) =>
  Effect.gen(function* () {
    const agent = yield* AgentClient
    const store = yield* EventStore
    const session = { tenantId, sessionId: SessionId.make(planned.session) }
    const runId = RunId.make(planned.run)
    const ask = agent.ask(session, { runId, message: planned.message, model: "local" })
    const over = (status: string) => status !== "accepted" && status !== "waiting"
    const approve = store.run(tenantId, runId).pipe(
      Effect.filterOrFail(
        (run) => run._tag === "Some" && (run.value.status === "waiting" || over(run.value.status)),
        () => new NotYet()
      ),
      Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo(2 * QUIET_WITHIN))),
      Effect.andThen(persist(agent.approve(session, runId, "ann"), ({ _tag }) => _tag === "RunFinished")),
      Effect.tap((answer) => Effect.sync(() => (told.approved = answer._tag === "Some"))),
      Effect.option
    )
    yield* Effect.sleep(planned.at)
    if (planned.cut !== undefined) {
      const answer = yield* Effect.timeoutOption(ask, planned.cut.after).pipe(Effect.option)
      if (answer._tag === "Some" && answer.value._tag === "Some") told.acknowledged = true
      else if (!planned.cut.again) {
        // If the run is there after all, somebody in another window approves it.
        if (/\bapprove\b/.test(planned.message)) yield* Effect.forkScoped(approve)
        return
      }
    }
    if (!told.acknowledged) told.acknowledged = (yield* persist(ask))._tag === "Some"
    if (!told.acknowledged) return
    if (planned.cancelAfter !== undefined) {
      yield* Effect.sleep(planned.cancelAfter)
      told.cancelSent = true
      const answer = yield* persist(agent.cancel(session, runId, "ann"))
      if (answer._tag === "Some") told.cancelled = answer.value.status
      return
    }
    if (/\bapprove\b/.test(planned.message)) yield* approve
  })

/**
 * When all is healed somebody approves whatever waits, whoever should have: a client that was never answered went away, and
 * its run may be there all the same. What nobody approves would wait for ever, and that is not the runtime's fault.
 */
const approveWhatWaits = (fleet: Fleet, scenario: Scenario, asked: ReadonlyArray<Told>) =>
  Effect.gen(function* () {
    const agent = yield* AgentClient
    const waiting = yield* fleet.query<{ readonly run: string; readonly session: string }>(
      `select run_id as run, session_id as session from agents.runs
        where tenant_id = $1 and run_id = any($2) and status = 'waiting'`,
      [tenantId, scenario.runs.map(({ run }) => run)]
    )
    yield* Effect.forEach(
      waiting,
      ({ run, session }) =>
        agent.approve({ tenantId, sessionId: SessionId.make(session) }, RunId.make(run), "somebody").pipe(
          Effect.tap(() =>
            Effect.sync(() => {
              for (const told of asked) if (told.run === run) told.approved = true
            })
          ),
          Effect.ignore
        ),
      { concurrency: "unbounded", discard: true }
    )
  }).pipe(Effect.repeat(Schedule.spaced("500 millis")))

/** Follows a session as a socket does, and goes on from the last event that arrived. */
const watch = (session: string, seen: Array<RecordedEvent>) =>
  Effect.flatMap(Feed, (feed) =>
    Effect.suspend(() =>
      Stream.runForEach(follow(feed, tenantId, SessionId.make(session), seen.at(-1)?.eventId ?? 0), (event) =>
        Effect.sync(() => seen.push(event))
      )
    ).pipe(Effect.retry(Schedule.spaced("200 millis")))
  )

const history = (fleet: Fleet, scenario: Scenario) =>
  Effect.gen(function* () {
    const sessions = [...new Set(scenario.runs.map(({ session }) => session))]
    const runs = yield* fleet.query<RunRow>(
      `select run_id as run, session_id as session, execution_id as execution, status, finished_at is not null as finished
         from agents.runs where tenant_id = $1 and session_id = any($2) order by accepted_at`,
      [tenantId, sessions]
    )
    const executions = runs.map(({ execution }) => execution)
    const usage = yield* fleet.query<UsageRow>(
      `select execution_id as execution, step, output_tokens::int as "outputTokens"
         from agents.token_usage where execution_id = any($1)`,
      [executions]
    )
    const open = yield* fleet.query<OpenMessage>(
      `select m.entity_id as execution,
          case when not m.processed and r.id is null then 'never finished: ' else 'ended badly: ' end
            || m.tag || coalesce(' ' || (m.payload::jsonb->>'name'), '')
            || ' (last read ' || coalesce(m.last_read::text, 'never') || ') ' || coalesce(left(r.payload, 300), '') as what
         from cluster.cluster_messages m left join cluster.cluster_replies r on r.request_id = m.id and r.kind = 0
        where m.entity_id = any($1) and m.kind = 0
          and ((not m.processed and m.tag in ('run', 'deferred')) or (m.tag = 'run' and (r.payload::jsonb #>> '{value,_tag}' = 'Suspended'
            or r.payload::jsonb #>> '{cause,_tag}' = 'Die')))`,
      [executions]
    )
    const steps = yield* fleet.query<StepRow>(Owners.stepsOf, [executions])
    return { sessions, runs, usage, open, steps }
  })

export interface Played {
  readonly history: History
  /** From the end of the faults until all was over; `undefined` when it was not in time. */
  readonly quietAfterMillis: number | undefined
  /** Runners that did not become ready again. */
  readonly neverReady: ReadonlyArray<string>
}

/** Needs nothing of the fleet's past: sessions and runs are named after the seed, and only those are looked at. */
export const play = (
  fleet: Fleet,
  scenario: Scenario,
  { quietWithin = QUIET_WITHIN }: { readonly quietWithin?: number } = {}
): Effect.Effect<Played> =>
  Effect.gen(function* () {
    const store = yield* EventStore
    const asked = scenario.runs.map(
      ({ run, session, message }): Told => ({
        run,
        session,
        message,
        acknowledged: false,
        cancelSent: false,
        approved: false
      })
    )
    const observed: Record<string, Array<RecordedEvent>> = {}
    for (const { session } of scenario.runs) observed[session] ??= []
    yield* Effect.forEach(Object.entries(observed), ([session, seen]) => Effect.forkScoped(watch(session, seen)))
    const clients = yield* Effect.forEach(scenario.runs, (planned, index) => carryOut(planned, asked[index] as Told), {
      concurrency: "unbounded",
      discard: true
    }).pipe(Effect.forkScoped)
    yield* Effect.forEach(scenario.faults, (fault) => Effect.delay(fleet.strike(fault), fault.at), {
      concurrency: "unbounded",
      discard: true
    })
    const neverReady = yield* fleet.heal
    const healedAt = yield* Clock.currentTimeMillis
    yield* Effect.timeoutOption(clients.await, quietWithin)
    yield* Effect.forkScoped(approveWhatWaits(fleet, scenario, asked))
    const quiet = yield* history(fleet, scenario).pipe(
      Effect.filterOrFail(
        ({ runs, open }) => open.length === 0 && runs.every(({ finished }) => finished),
        () => new NotYet()
      ),
      Effect.retry(Schedule.spaced("100 millis").pipe(Schedule.upTo(quietWithin))),
      Effect.option
    )
    const quietAt = yield* Clock.currentTimeMillis
    const final = yield* history(fleet, scenario)
    const recorded: Record<string, ReadonlyArray<RecordedEvent>> = {}
    for (const session of final.sessions) {
      const all: Array<RecordedEvent> = []
      while (true) {
        const page = yield* store
          .ofSession(tenantId, SessionId.make(session), all.at(-1)?.eventId ?? 0)
          .pipe(Effect.retry(Schedule.spaced("200 millis").pipe(Schedule.upTo("30 seconds"))), Effect.orDie)
        all.push(...page)
        if (page.length === 0) break
      }
      recorded[session] = all
    }
    // What is recorded reaches a follower some milliseconds later.
    yield* Effect.sync(() =>
      final.sessions.every((session) => (observed[session]?.length ?? 0) >= (recorded[session]?.length ?? 0))
    ).pipe(
      Effect.filterOrFail(
        (all) => all,
        () => new NotYet()
      ),
      Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("10 seconds"))),
      Effect.ignore
    )
    return {
      history: {
        asked,
        recorded,
        observed,
        runs: final.runs,
        usage: final.usage,
        open: final.open,
        steps: final.steps
      },
      neverReady,
      quietAfterMillis: quiet._tag === "Some" ? quietAt - healedAt : undefined
    }
  }).pipe(Effect.scoped, Effect.provide(fleet.client))
