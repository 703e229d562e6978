/** How the bounds of takeovers, durable sleeps and first calls are measured: by `make takeover`, and by the tests that hold them. */
import { Effect } from "effect"
import { RunId, SessionId, TenantId } from "../../src/domain/Ids.ts"
import { EventStore } from "../../src/events/EventStore.ts"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { firstAnswer, gatewayPod, issuerAt } from "../support/gateway-pod.ts"
import type { TestImage } from "../support/image.ts"
import { databaseSecret } from "../support/pods.ts"
import { SHARDS } from "../support/sharding.ts"
import { until } from "../support/wait.ts"
import type { Fleet } from "./Fleet.ts"
import type { Fault } from "./Scenario.ts"

export const RUNNERS = 3
const tenantId = TenantId.make("takeover")
const AUDIENCE = "https://agent-gateway.test"

const sessionOf = (name: string) => ({ tenantId, sessionId: SessionId.make(name) })

const ask = (name: string, message: string) =>
  Effect.flatMap(AgentClient, (agent) =>
    agent.ask(sessionOf(name), { runId: RunId.make(name), message, model: "local" })
  )

const eventsOf = (name: string) =>
  Effect.flatMap(EventStore, (store) => store.ofRun(tenantId, RunId.make(name), 0)).pipe(
    Effect.map((events) => events.map(({ event, step, occurredAt }) => ({ ...event, step, at: occurredAt.getTime() })))
  )

const untilEnd = (name: string) =>
  until(`the end of ${name}`, eventsOf(name), (events) => events.at(-1)?._tag === "Completed", "90 seconds")

/** Each runner holds its share: before that, a fault meets a fleet that is still moving. */
const settled = (stage: Fleet) =>
  until(
    "all shards are held, by all runners",
    stage.query<{ readonly owners: number; readonly locks: number }>(
      `select count(distinct a.application_name)::int as owners, count(*)::int as locks
         from pg_locks l join pg_stat_activity a using (pid)
        where l.locktype = 'advisory' and l.granted and l.objid >= 1000000
          and l.database = (select oid from pg_database where datname = current_database())`
    ),
    ([row]) => row?.owners === RUNNERS && row.locks === SHARDS,
    "90 seconds"
  )

const TOOLS = 40
const steps = Array.from({ length: TOOLS }, () => "tool:wait=100").join(" ")

/** The longest pause between two events of a run of short steps, from the fault on: what a user feels of a takeover. */
export const pause = (
  stage: Fleet,
  name: string,
  fault: (runner: number) => Fault,
  from: "strike" | "return" = "strike"
) =>
  Effect.gen(function* () {
    yield* stage.heal
    yield* settled(stage)
    yield* ask(name, steps)
    yield* until("three steps", eventsOf(name), (events) => events.length > 6)
    const { runner } = yield* Effect.flatMap(AgentClient, (agent) => agent.status(sessionOf(name), RunId.make(name)))
    const struckAt = Date.now()
    const strike = yield* Effect.fork(stage.strike(fault(Number(runner?.split("-").at(-1)))))
    if (from === "return") yield* strike
    const returnedAt = Date.now()
    const events = yield* untilEnd(name)
    const results = events.filter(({ _tag }) => _tag === "ToolResult").length
    if (results !== TOOLS) return yield* Effect.dieMessage(`${name}: ${results} results of ${TOOLS} tool calls`)
    yield* strike
    if (from === "return") return (events.find(({ at }) => at > returnedAt)?.at ?? Number.NaN) - returnedAt
    const times = events.map(({ at }) => at)
    return Math.max(...times.map((at, index) => (at < struckAt ? 0 : at - (times[index - 1] ?? at))))
  })

/** Sleeps of some seconds, begun together on three runners; how late the last one wakes up. */
export const sleeps = (stage: Fleet, round: number, count: number) =>
  Effect.gen(function* () {
    yield* settled(stage)
    const names = Array.from({ length: count }, (_, index) => `sleep-${round}-${index}`)
    const asked = yield* Effect.forEach(names, (name) => ask(name, "hello follow-up:3"), { concurrency: "unbounded" })
    const late = yield* Effect.forEach(names, (name, index) =>
      Effect.gen(function* () {
        const woke = (yield* untilEnd(name)).find(({ step }) => step === "follow-up")?.at ?? Number.NaN
        const [clock] = yield* stage.query<{ readonly due: string }>(
          `select deliver_at as due from cluster.cluster_messages
            where entity_type = 'Workflow/-/DurableClock' and entity_id = $1`,
          [asked[index]?.executionId]
        )
        return woke - Number(clock?.due)
      })
    )
    return Math.max(...late)
  })

/** A gateway that has just become ready: its first call, from the request to the answer. */
export const firstCall = (stage: Fleet, image: TestImage, round: number) =>
  Effect.gen(function* () {
    const issuer = yield* issuerAt(stage.subnet.address(3), {
      tenant: tenantId,
      subject: "measure",
      email: "measure@agents.test"
    })
    const gateway = yield* gatewayPod({
      image,
      ordinal: round,
      address: stage.subnet.address(200 + round),
      secret: yield* databaseSecret(stage.runtimeUrl),
      issuer,
      audience: AUDIENCE
    })
    const token = yield* issuer.issue({ audience: AUDIENCE })
    yield* gateway.ready
    const began = performance.now()
    yield* firstAnswer(gateway, token, `first-${round}`)
    return performance.now() - began
  }).pipe(Effect.scoped)
