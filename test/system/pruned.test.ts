/** The engine's rows of an ended execution are what makes a start that is sent again find the first one. When they are gone, the run's row does. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { enginePruneVerb } from "../../src/bin/cli/engine.ts"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { eventsOf, runId, session, summary, type TestCluster, testCluster, untilEvent } from "../support/cluster.ts"
import { type Edit, testImage } from "../support/image.ts"
import { until } from "../support/wait.ts"

vi.setConfig({ testTimeout: 180_000 })

const MESSAGE = "tool:add=20+22 once and no more"

const ask = (name: string, message = MESSAGE) =>
  Effect.flatMap(AgentClient, (agent) => agent.ask(session(name), { runId: runId(name), message, model: "local" }))

/** What of an execution stands in the engine's tables and in the journal. */
const rowsOf = ({ database }: TestCluster, name: string) =>
  Effect.map(
    database.query<{ n: number }>(
      `select ((select count(*) from cluster.cluster_messages m where m.entity_id = r.execution_id)
         + (select count(*) from agents.steps s where s.execution_id = r.execution_id))::int as n
       from agents.runs r where r.run_id = $1`,
      [name]
    ),
    ([row]) => row!.n
  )

/** Two days pass: ids hold the time, so they are moved. */
const twoDaysLater = ({ database }: TestCluster) =>
  Effect.gen(function* () {
    const back = 48n * 3_600_000n * 4_194_304n
    yield* database.query(`update cluster.cluster_replies set id = id - ${back}, request_id = request_id - ${back}`)
    yield* database.query(
      `update cluster.cluster_messages set id = id - ${back}, request_id = request_id - ${back}, last_reply_id = last_reply_id - ${back}`
    )
    yield* database.query(
      "update agents.runs set accepted_at = accepted_at - interval '48 hours', finished_at = finished_at - interval '48 hours'"
    )
  })

const prune = ({ database }: TestCluster) =>
  enginePruneVerb.run({ flags: { "database-url": database.urlOf("runtime") }, positionals: [], json: true })

/** A run that ended two days ago, with a runner that has no part in it any more; then `next`. */
const pruned = <A, E, R>(cluster: TestCluster, edits: ReadonlyArray<Edit>, next: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const image = yield* testImage({ edits })
    const runner = yield* cluster.runner(0, { image })
    yield* runner.ready
    return yield* Effect.gen(function* () {
      yield* ask("old")
      yield* untilEvent("old", "Completed")
      yield* until(
        "its end is recorded",
        cluster.database.query<{ n: number }>(
          "select count(*)::int as n from agents.runs where finished_at is not null"
        ),
        ([row]) => row!.n === 1
      )
      expect(yield* rowsOf(cluster, "old")).toBeGreaterThan(0)
      // The event comes before the engine's own last reply, and a message whose id is moved by then is never answered.
      yield* until(
        "the engine has its result",
        cluster.database.query<{ n: number }>(
          "select count(*)::int as n from cluster.cluster_messages where not processed"
        ),
        ([row]) => row!.n === 0
      )
      yield* until(
        "all of it is gone",
        Effect.zipRight(Effect.zipRight(twoDaysLater(cluster), prune(cluster)), rowsOf(cluster, "old")),
        (rows) => rows === 0
      )
      return yield* next
    }).pipe(Effect.provide(cluster.client))
  })

it.scopedLive(
  "answers a start that is sent again after the engine's rows are gone with the run's end, and runs nothing",
  () =>
    Effect.gen(function* () {
      const cluster = yield* testCluster
      yield* pruned(
        cluster,
        [],
        Effect.gen(function* () {
          const before = yield* eventsOf("old")
          const usage = "select count(*)::int as n from agents.token_usage"
          const used = yield* cluster.database.query(usage)
          const again = yield* Effect.forEach([1, 2, 3], () => ask("old"), { concurrency: 3 })
          expect(again.map(({ status }) => status)).toEqual(["completed", "completed", "completed"])
          // Another request under a known id is still refused.
          const other = yield* Effect.flip(ask("old", "something else"))
          expect(other).toMatchObject({ _tag: "RunConflict", reason: "other-request" })
          // A start is stored before it is answered: what was not stored by now was not started. A run that starts later proves it live.
          yield* ask("young")
          yield* untilEvent("young", "Completed")
          expect(yield* rowsOf(cluster, "old")).toBe(0)
          expect(yield* eventsOf("old")).toEqual(before)
          expect(summary(before).types.filter((type) => type === "Completed")).toHaveLength(1)
          expect(used).toEqual([{ n: 1 }])

          // And when even the day of its events is over.
          yield* cluster.database.query("delete from agents.events where run_id = 'old'")
          yield* cluster.database.query(
            "update agents.runs set events_tier = 'standard', events_day = '2020-01-01' where run_id = 'old'"
          )
          expect((yield* ask("old")).status).toBe("completed")
          expect(yield* rowsOf(cluster, "old")).toBe(0)
          expect(yield* eventsOf("old")).toEqual([])
        })
      )
    })
)

it.scopedLive("would see a build that starts what has ended: the engine alone begins it anew", () =>
  Effect.gen(function* () {
    const cluster = yield* testCluster
    yield* pruned(
      cluster,
      [
        {
          file: "src/agent/AgentLive.ts",
          find: "if (isOpen(accepted.run.status)) yield*",
          replace: "yield*"
        }
      ],
      Effect.gen(function* () {
        yield* ask("old")
        yield* until("it runs again", rowsOf(cluster, "old"), (rows) => rows > 0)
      })
    )
  })
)
