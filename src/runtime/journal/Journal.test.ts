/** What the journal promises when two are at work, and for executions that the library's engine began. */
import { expect, it } from "@effect/vitest"
import { Activity, DurableDeferred } from "@effect/workflow"
import { Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { vi } from "vitest"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { oneRunner, workflowById } from "../../../test/support/one-runner.ts"
import { until } from "../../../test/support/wait.ts"
import type { StepEngineKind } from "../Engine.ts"
import { type Step, StepStore } from "./StepStore.ts"

vi.setConfig({ testTimeout: 60_000 })

const Go = DurableDeferred.make("Go", { success: Schema.String })
const Two = workflowById("Two", Schema.Array(Schema.String))

interface Seen {
  readonly bodies: Array<string>
  /** What the first body waits for. */
  readonly first: Effect.Effect<string>
  /** What the execution got of it, each time that it went past. */
  readonly got?: Array<string>
}

const carriedOut = (seen: Seen, release: string) =>
  Two.toLayer(() =>
    Effect.gen(function* () {
      const step = (name: string, execute: Effect.Effect<string>) =>
        Activity.make({
          name,
          success: Schema.String,
          execute: Effect.suspend(() => {
            seen.bodies.push(`${name} by ${release}`)
            return execute
          })
        })
      const first = yield* step("first", seen.first)
      seen.got?.push(first)
      const between = yield* DurableDeferred.await(Go)
      const second = yield* step("second", Effect.succeed(`second of ${release}`))
      return [first, between, second]
    })
  )

const running = (database: MigratedDatabase, stepEngine: StepEngineKind, seen: Seen, release: string) =>
  carriedOut(seen, release).pipe(
    Layer.provideMerge(oneRunner(database.urlOf("runtime"), { stepEngine, messageStorage: "group" }, release, release))
  )

const go = (executionId: string) =>
  DurableDeferred.done(Go, {
    token: DurableDeferred.tokenFromExecutionId(Go, { workflow: Two, executionId }),
    exit: Exit.succeed("go")
  })

const suspended = (executionId: string) =>
  until("the execution waits", Two.poll(executionId), (result) => result?._tag === "Suspended")

const steps = (database: MigratedDatabase) =>
  database.query<{ name: string; release: string; exit: string }>(
    "select name, release, exit from agents.steps order by finished_at"
  )

for (const [begins, goesOn] of [
  ["stock", "journal"],
  ["journal", "stock"],
  ["journal", "journal"]
] as const) {
  it.scopedLive(`goes on under ${goesOn} with what began under ${begins}, and runs no recorded step again`, () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const seen: Seen = { bodies: [], first: Effect.succeed("first") }
      const id = yield* Effect.gen(function* () {
        const executionId = yield* Two.execute({ id: "a" }, { discard: true })
        yield* suspended(executionId)
        return executionId
      }).pipe(Effect.provide(running(database, begins, seen, "old")), Effect.scoped)
      yield* Effect.gen(function* () {
        yield* go(id)
        expect(yield* Two.execute({ id: "a" })).toEqual(["first", "go", "second of new"])
      }).pipe(Effect.provide(running(database, goesOn, seen, "new")), Effect.scoped)
      expect(seen.bodies).toEqual(["first by old", "second by new"])
      const journalled = (yield* steps(database)).map(({ name, release }) => `${name} by ${release}`)
      expect(journalled).toEqual([
        ...(begins === "journal" ? ["first by old"] : []),
        ...(goesOn === "journal" ? ["second by new"] : [])
      ])
    })
  )
}

it.scopedLive("takes the outcome that another run of the step recorded first", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const seen: Seen = { bodies: [], first: Effect.succeed("unused") }
    const begun = yield* Deferred.make<void>()
    const goOn = yield* Deferred.make<void>()
    const got: Array<string> = []
    const slow: Seen = {
      ...seen,
      got,
      first: Deferred.succeed(begun, undefined).pipe(Effect.andThen(Deferred.await(goOn)), Effect.as("of the loser"))
    }
    yield* Effect.gen(function* () {
      const run = yield* Effect.fork(Two.execute({ id: "a" }))
      yield* Deferred.await(begun)
      const id = yield* Two.executionId({ id: "a" })
      yield* database.query(`insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
        values ('${id}', 'first', 1, '{"_tag":"Success","value":"of the winner"}', 'other', '', now(), now())`)
      yield* Deferred.succeed(goOn, undefined)
      yield* suspended(id)
      yield* go(id)
      expect((yield* Fiber.join(run))[0]).toBe("of the winner")
      // At once, and not only when it was read again after the suspension.
      expect(new Set(got)).toEqual(new Set(["of the winner"]))
    }).pipe(Effect.provide(running(database, "journal", slow, "one")), Effect.scoped)
  })
)

it.scopedLive("refuses the step of a runner that lost the shard, and records it nowhere", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const begun = yield* Deferred.make<void>()
    const goOn = yield* Deferred.make<void>()
    const seen: Seen = {
      bodies: [],
      first: Deferred.succeed(begun, undefined).pipe(Effect.andThen(Deferred.await(goOn)), Effect.as("stale"))
    }
    yield* Effect.gen(function* () {
      const run = yield* Effect.fork(Two.execute({ id: "a" }))
      yield* Deferred.await(begun)
      // What another runner does that takes the shards.
      yield* database.query("update agents.shard_epochs set epoch = epoch + 1, runner = 'successor'")
      yield* Deferred.succeed(goOn, undefined)
      const store = yield* StepStore
      const [shard] = yield* database.query<{ shard_id: string; epoch: string }>(
        "select shard_id, (epoch - 1)::text as epoch from agents.shard_epochs limit 1"
      )
      const late: Step = {
        execution_id: "other",
        name: "late",
        attempt: 1,
        exit: '{"_tag":"Success"}',
        release: "one",
        fingerprint: "",
        started_at: new Date(0).toISOString(),
        finished_at: new Date(0).toISOString(),
        shard_id: shard?.shard_id ?? "",
        epoch: shard?.epoch ?? ""
      }
      const now = { ...late, name: "in time", epoch: String(Number(late.epoch) + 1) }
      const answers = yield* Effect.all([store.record(late), store.record(now)], { concurrency: 2 })
      expect(answers.map(({ _tag }) => _tag)).toEqual(["fenced", "written"])
      expect((yield* steps(database)).map(({ name }) => name)).toEqual(["in time"])
      yield* Fiber.interruptFork(run)
    }).pipe(Effect.provide(running(database, "journal", seen, "one")), Effect.scoped)
  })
)

it.scopedLive("goes on when a shard is its own again that another runner took in between", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    let begun = 0
    const seen: Seen = {
      bodies: [],
      // A runner that takes the shard, and is gone: this one's lock session came back, and nobody asks it to take anything.
      first: Effect.suspend(() =>
        begun++ === 0
          ? Effect.promise(() =>
              Effect.runPromise(database.query("update agents.shard_epochs set epoch = epoch + 1, runner = 'gone'"))
            ).pipe(Effect.as("stale"))
          : Effect.succeed("anew")
      )
    }
    yield* Effect.gen(function* () {
      const id = yield* Two.execute({ id: "a" }, { discard: true })
      // Its locks are refreshed each 10 s.
      yield* until("it waits", Two.poll(id), (result) => result?._tag === "Suspended", "40 seconds")
      yield* go(id)
      expect(yield* Two.execute({ id: "a" })).toEqual(["anew", "go", "second of one"])
    }).pipe(Effect.provide(running(database, "journal", seen, "one")), Effect.scoped)
  })
)
