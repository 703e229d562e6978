/** What may happen to runners, done to real ones. Nothing accepted may be lost, nothing may be told twice. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { tokensOf } from "../../src/agent/model/LocalModel.ts"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { keeps } from "../support/bounds.ts"
import { eventsOf, runId, session, summary, testCluster, untilEvent } from "../support/cluster.ts"
import type { TestPod } from "../support/pods.ts"
import { SHARDS } from "../support/sharding.ts"
import { until } from "../support/wait.ts"

// Each test starts a database and up to three runners of its own, beside all other tests on perhaps two cores, some for three rounds.
vi.setConfig({ testTimeout: 300_000 })

const HANDOVER_MS = 4_000

const start = (name: string, message: string, sessionName = name) =>
  Effect.flatMap(AgentClient, (agent) =>
    agent.ask(session(sessionName), { runId: runId(name), message, model: "local" })
  )

/** The pod that works on the run now: the one that wrote its latest event. */
const workerOf = (name: string, pods: ReadonlyArray<TestPod>) =>
  Effect.flatMap(AgentClient, (agent) => agent.status(session(name), runId(name))).pipe(
    Effect.map(({ runner }) => pods.find((pod) => pod.name === runner) as TestPod)
  )

const shardsOf = (pods: ReadonlyArray<TestPod>) => Effect.all(pods.map((pod) => pod.metric("agents_shards_held")))

const allShards = (pods: ReadonlyArray<TestPod>) =>
  until(
    "all shards held",
    shardsOf(pods),
    (held) => held.reduce((sum, count) => sum + count, 0) === SHARDS && held.every((count) => count > 0),
    "60 seconds"
  )

/** Many short steps: the longest pause between two events is what a user feels of a takeover. */
const steps = (count: number) => Array.from({ length: count }, () => "tool:wait=100").join(" ")

const longestPause = (name: string) =>
  Effect.map(eventsOf(name), (events) => {
    const times = events.map(({ occurredAt }) => occurredAt.getTime())
    return Math.max(...times.map((time, index) => time - (times[index - 1] ?? time)))
  })

it.scopedLive("finishes a run on another runner when the one that works on it is killed in a step", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const pods = yield* cluster.runners(2)
    yield* allShards(pods)
    const message = "kill me slow:40 tokens:100 tool:add=2+2"
    yield* Effect.gen(function* () {
      yield* start("killed", message)
      yield* untilEvent("killed", "Token")
      const worker = yield* workerOf("killed", pods)
      yield* worker.signal("SIGKILL")
      yield* untilEvent("killed", "Completed", "60 seconds")
      const seen = summary(yield* eventsOf("killed"))
      expect(seen.doubled).toEqual([])
      expect(seen.ascending).toBe(true)
      expect(seen.text).toBe(tokensOf(message).join(""))
      expect(seen.types).toEqual(["RunAccepted", "Token", "ToolCall", "ToolResult", "Completed"])
      expect((yield* workerOf("killed", pods)).name).not.toBe(worker.name)
      const [usage] = yield* cluster.database.query("select count(*)::int as rows from agents.token_usage")
      expect(usage).toEqual({ rows: 1 })
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("takes over within 5 s of a kill, and does not pause for as long when the runner comes back", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const pods = yield* cluster.runners(3)
    yield* allShards(pods)
    yield* Effect.gen(function* () {
      let live: ReadonlyArray<TestPod> = pods
      // The library's own way is to wait for the termination timeout when the runner comes back, 15 s.
      yield* keeps({ takeover: 5_000, pause: 10_000 }, (round) =>
        Effect.gen(function* () {
          const names = ["one", "two", "three", "four"].map((name) => `${name}-${round}`)
          const [one] = names as [string]
          yield* Effect.forEach(names, (name) => start(name, steps(40)))
          yield* untilEvent(one, "ToolResult")
          const worker = yield* workerOf(one, live)
          const before = (yield* eventsOf(one)).length
          yield* worker.signal("SIGKILL")
          const killedAt = Date.now()
          yield* until(
            "the successor's first event",
            eventsOf(one),
            (events) => events.length > before + 1,
            "30 seconds"
          )
          const takeover = Date.now() - killedAt
          const back = yield* cluster.runner(Number(worker.name.split("-").at(-1)))
          yield* back.ready
          live = [...live.filter((pod) => pod !== worker), back]
          yield* allShards(live)
          yield* Effect.forEach(names, (name) => untilEvent(name, "Completed", "90 seconds"))
          for (const name of names) expect(summary(yield* eventsOf(name)).doubled).toEqual([])
          return { takeover, pause: Math.max(...(yield* Effect.forEach(names, longestPause))) }
        })
      )
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive(
  "takes over from a frozen runner within 15 s, and what that one does when it wakes up changes nothing",
  () =>
    Effect.gen(function* () {
      const cluster = yield* testCluster
      const pods = yield* cluster.runners(2)
      yield* allShards(pods)
      yield* Effect.gen(function* () {
        yield* keeps({ pause: 15_000 }, (round) =>
          Effect.gen(function* () {
            const name = `frozen-${round}`
            yield* start(name, steps(40))
            yield* untilEvent(name, "ToolResult")
            const worker = yield* workerOf(name, pods)
            yield* worker.signal("SIGSTOP")
            yield* untilEvent(name, "Completed", "90 seconds")
            yield* worker.signal("SIGCONT")
            // It takes part again, with its share.
            yield* allShards(pods)
            const seen = summary(yield* eventsOf(name))
            expect(seen.doubled).toEqual([])
            expect(seen.types.filter((type) => type === "Completed")).toHaveLength(1)
            expect(seen.types.at(-1)).toBe("Completed")
            return { pause: yield* longestPause(name) }
          })
        )
        yield* start("after", "hello")
        yield* untilEvent("after", "Completed")
      }).pipe(Effect.provide(cluster.client))
    })
)

it.scopedLive("keeps a waiting run over a restart of all runners", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const first = yield* cluster.runner(0)
    yield* first.ready
    yield* Effect.gen(function* () {
      const agent = yield* AgentClient
      yield* start("patient", "approve please")
      yield* untilEvent("patient", "ApprovalRequested")
      yield* first.signal("SIGTERM")
      expect(yield* first.exit).toBe(0)
      // Sent while nobody is there: it waits for the next runner instead of failing.
      const approval = yield* Effect.fork(agent.approve(session("patient"), runId("patient"), "ann"))
      const second = yield* cluster.runner(1)
      yield* second.ready
      yield* approval
      yield* untilEvent("patient", "Completed")
      // Again, as a client would that lost the answer.
      const again = yield* agent.approve(session("patient"), runId("patient"), "ann").pipe(Effect.flip)
      expect(again._tag).toBe("RunFinished")
      const seen = summary(yield* eventsOf("patient"))
      expect(seen.types).toEqual(["RunAccepted", "Token", "ApprovalRequested", "Approved", "Completed"])
      expect(seen.doubled).toEqual([])
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("starts three runners at once on a fresh database, each with a share of the shards", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const pods = yield* cluster.runners(3)
    yield* allShards(pods)
    const carried = yield* cluster.database.query<{ runner: string; workflows: string }>(
      "select runner, release, (select string_agg(k, ',') from jsonb_object_keys(carries->'workflows') k) as workflows from agents.runners order by 1"
    )
    expect(carried).toEqual(
      pods.map(({ name }) => ({
        runner: name,
        release: "test",
        workflows: "AgentWorkflow,AgentWorkflowV2,AgentWorkflowV2Enterprise"
      }))
    )
    yield* Effect.forEach(pods, (pod) => pod.signal("SIGTERM"))
    expect(yield* Effect.all(pods.map((pod) => pod.exit))).toEqual([0, 0, 0])
    expect(yield* cluster.database.query("select runner from agents.runners")).toEqual([])
  })
)

it.scopedLive("cancels a run that waits and one that is at work, each with one last event", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const runner = yield* cluster.runner(0)
    yield* runner.ready
    yield* Effect.gen(function* () {
      const agent = yield* AgentClient
      yield* start("waits", "approve please")
      yield* start("works", "slow:50 tokens:400")
      yield* untilEvent("waits", "ApprovalRequested")
      yield* untilEvent("works", "Token")
      for (const name of ["waits", "works"]) {
        const cancels = [1, 2, 3].map(() => agent.cancel(session(name), runId(name), "ann"))
        const views = yield* Effect.all(cancels, { concurrency: "unbounded" })
        expect(views.map(({ status }) => status)).toEqual(["cancelled", "cancelled", "cancelled"])
      }
      // The executions end as well: none is left over to wake up one day.
      yield* until(
        "executions ended",
        cluster.database.query<{ open: number }>(
          "select count(*)::int as open from cluster.cluster_messages where tag = 'run' and not processed"
        ),
        ([row]) => row?.open === 0
      )
      for (const name of ["waits", "works"]) {
        const { types } = summary(yield* eventsOf(name))
        expect(types.filter((type) => type === "Cancelled")).toHaveLength(1)
        expect(types.at(-1)).toBe("Cancelled")
      }
      // What they had used until then is their tenant's all the same.
      yield* until(
        "what they used is recorded",
        cluster.database.query<{ step: string; output: number }>(
          "select step, output_tokens::int as output from agents.token_usage"
        ),
        (used) => used.length === 2 && used.every(({ step, output }) => step === "model" && output > 0 && output < 400)
      )
      const [suspended] = yield* cluster.database.query<{ count: number }>(
        `select count(*)::int from cluster.cluster_messages m join cluster.cluster_replies r on r.request_id = m.id
          where m.tag = 'run' and r.payload::jsonb #>> '{value,_tag}' = 'Suspended'`
      )
      expect(suspended?.count).toBe(0)
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("takes a start that is sent again for the same run, and refuses its id for another", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    yield* cluster.runners(2)
    yield* Effect.gen(function* () {
      const agent = yield* AgentClient
      const views = yield* Effect.all(
        Array.from({ length: 5 }, () => start("again", "hello")),
        { concurrency: "unbounded" }
      )
      expect(new Set(views.map(({ executionId }) => executionId)).size).toBe(1)
      yield* untilEvent("again", "Completed")
      expect((yield* start("again", "hello")).status).toBe("completed")
      expect(summary(yield* eventsOf("again")).types).toEqual(["RunAccepted", "Token", "Completed"])
      expect(yield* start("again", "something else").pipe(Effect.flip)).toMatchObject({ reason: "other-request" })
      expect(yield* start("again", "hello", "elsewhere").pipe(Effect.flip)).toMatchObject({ reason: "other-session" })
      expect(yield* agent.status(session("again"), runId("unknown")).pipe(Effect.flip)).toMatchObject({
        _tag: "RunNotFound"
      })
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("tells how a run failed, after a bounded number of attempts", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const runner = yield* cluster.runner(0)
    yield* runner.ready
    yield* Effect.gen(function* () {
      yield* start("refused", "please fail")
      yield* start("flaky", "flaky:2 tokens:60")
      yield* start("hopeless", "flaky:9")
      yield* untilEvent("refused", "Failed")
      yield* untilEvent("flaky", "Completed")
      yield* untilEvent("hopeless", "Failed")
      const flaky = summary(yield* eventsOf("flaky"))
      expect(flaky.text).toBe(tokensOf("flaky:2 tokens:60").join(""))
      expect(flaky.doubled).toEqual([])
      const attempts = yield* cluster.database.query<{ attempts: number }>(
        `select (
           (select count(*) from cluster.cluster_messages m where m.entity_id = r.execution_id
              and m.tag = 'activity' and m.payload::jsonb->>'name' = 'CallModel')
           + (select count(*) from agents.steps s where s.execution_id = r.execution_id and s.name = 'CallModel')
         )::int as attempts from agents.runs r where r.run_id = 'hopeless'`
      )
      expect(attempts).toEqual([{ attempts: 4 }])
      const [last] = (yield* eventsOf("hopeless")).slice(-1)
      expect(last?.event).toMatchObject({ _tag: "Failed", code: "model-failed" })
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("takes back what its tools did, the last call first, when a run fails for good", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    yield* cluster.runners(2)
    yield* Effect.gen(function* () {
      yield* start("undone", "tool:hold=one tool:add=1+1 tool:broken tool:hold=two follow-up:1 fail-later")
      yield* untilEvent("undone", "Failed", "60 seconds")
      const events = yield* eventsOf("undone")
      expect(summary(events).doubled).toEqual([])
      expect(
        events.flatMap(({ event, step }) => (event._tag === "ToolResult" ? [`${step}: ${event.output}`] : []))
      ).toEqual([
        "tool:1: holding one",
        "tool:2: 2",
        "tool:3: This tool always fails.",
        "tool:4: holding two",
        "undo:4: let go of two",
        "undo:1: let go of one"
      ])
      expect(events.at(-1)?.event).toEqual({
        _tag: "Failed",
        code: "model-failed",
        message: "The model refused to answer."
      })
      // A person's choice to cancel is no failure.
      yield* start("cancelled", "tool:hold=three approve")
      yield* untilEvent("cancelled", "ApprovalRequested")
      yield* Effect.flatMap(AgentClient, (agent) => agent.cancel(session("cancelled"), runId("cancelled"), "ann"))
      yield* untilEvent("cancelled", "Cancelled")
      expect((yield* eventsOf("cancelled")).map(({ step }) => step)).not.toContain("undo:1")
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("lets begun steps finish when it is told to stop, and hands the run over between two steps", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const pods = yield* cluster.runners(2)
    yield* allShards(pods)
    yield* Effect.gen(function* () {
      // Six seconds in one step: longer than the takeover, shorter than a pod's grace.
      const message = "drain slow:60 tokens:100 tool:wait=300 tool:echo=done"
      let live: ReadonlyArray<TestPod> = pods
      yield* keeps({ handover: HANDOVER_MS }, (round) =>
        Effect.gen(function* () {
          const name = `drained-${round}`
          yield* start(name, message)
          yield* untilEvent(name, "Token")
          const worker = yield* workerOf(name, live)
          yield* worker.signal("SIGTERM")
          expect(yield* worker.exit).toBe(0)
          const stoppedAt = Date.now()
          // The step that was at work when the runner was told to stop is written to its end: it was not cut.
          expect(summary(yield* eventsOf(name)).text).toBe(tokensOf(message).join(""))
          yield* untilEvent(name, "Completed", "60 seconds")
          const handover = Date.now() - stoppedAt
          const seen = summary(yield* eventsOf(name))
          expect(seen.text).toBe(tokensOf(message).join(""))
          expect(seen.doubled).toEqual([])
          expect((yield* workerOf(name, live)).name).not.toBe(worker.name)
          if (handover <= HANDOVER_MS) return { handover }
          const back = yield* cluster.runner(Number(worker.name.split("-").at(-1)))
          yield* back.ready
          live = [...live.filter((pod) => pod !== worker), back]
          yield* allShards(live)
          return { handover }
        })
      )
    }).pipe(Effect.provide(cluster.client))
  })
)

it.scopedLive("refuses to start with a configuration that can't work, and says all that is wrong with it", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    const runner = yield* cluster.runner(0, {
      env: { DATABASE_SECRET_DIR: "/nowhere", RUNNER_PORT: "many", SHARDS_PER_GROUP: "0", LOG_LEVEL: "loud" }
    })
    expect(yield* runner.exit).toBe(12)
    for (const words of ["DATABASE_SECRET_DIR", "RUNNER_PORT", "SHARDS_PER_GROUP", "LOG_LEVEL"]) {
      expect(runner.output()).toContain(words)
    }
    expect(runner.output()).not.toContain("    at ")
  })
)
