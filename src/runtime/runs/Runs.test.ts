/** Executions past the library's entities: begun, cut, given away and given back as those are. */
import { MessageStorage, Sharding, Snowflake } from "@effect/cluster"
import { expect, it } from "@effect/vitest"
import { Activity, DurableDeferred, Workflow } from "@effect/workflow"
import type { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { vi } from "vitest"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { oneRunner, workflowById } from "../../../test/support/one-runner.ts"
import { until } from "../../../test/support/wait.ts"
import type { StepEngineKind } from "../Engine.ts"
import { Runs } from "./Runs.ts"

vi.setConfig({ testTimeout: 60_000 })

const Go = DurableDeferred.make("Go", { success: Schema.String })
const Works = workflowById("Works", Schema.String)

const running = (
  database: MigratedDatabase,
  name: string,
  execute: (id: string) => Effect.Effect<string, never, WorkflowEngine | WorkflowInstance>,
  stepEngine: StepEngineKind = "journal"
) =>
  Works.toLayer(({ id }) => execute(id)).pipe(
    Layer.provideMerge(oneRunner(database.urlOf("runtime"), { stepEngine, messageStorage: "group" }, name, name))
  )

const names = Array.from({ length: 40 }, (_, index) => `n${index}`)
const start = Effect.forEach(names, (id) => Works.execute({ id }, { discard: true }), { concurrency: "unbounded" })

for (const [stepEngine, most] of [
  ["journal", 20],
  ["stock", 40]
] as const) {
  it.scopedLive(`has ${most} entities at most for 40 executions on 20 shards (${stepEngine})`, () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const go = yield* Deferred.make<string>()
      let begun = 0
      const execute = () =>
        Activity.make({
          name: "waits",
          success: Schema.String,
          execute: Effect.zipRight(
            Effect.sync(() => begun++),
            Deferred.await(go)
          )
        })
      yield* Effect.gen(function* () {
        yield* start
        yield* until(
          "all are at work",
          Effect.sync(() => begun),
          (count) => count === names.length
        )
        const entities = yield* (yield* Sharding.Sharding).activeEntityCount
        expect(entities).toBeGreaterThan(most / 2)
        expect(entities).toBeLessThanOrEqual(most)
        yield* Deferred.succeed(go, "done")
        expect(yield* Effect.forEach(names, (id) => Works.execute({ id }))).toEqual(names.map(() => "done"))
      }).pipe(Effect.provide(running(database, "one", execute, stepEngine)))
    })
  )
}

it.scopedLive("cuts what runs on a shard that goes, and gives the shard away when that is over", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const notes: Array<string> = []
    const bothAreThere = yield* Deferred.make<void>()
    const execute = (by: string) => (id: string) =>
      Activity.make({
        name: "works",
        success: Schema.String,
        execute: Effect.gen(function* () {
          notes.push(`${id} begins by ${by}`)
          if (by === "one") yield* Deferred.await(bothAreThere)
          return by
        }).pipe(
          // What is cut takes its time to end, and is still the shard's.
          Effect.onInterrupt(() =>
            Effect.zipRight(
              Effect.promise(() => new Promise((resume) => setImmediate(resume))),
              Effect.sync(() => notes.push(`${id} is cut by ${by}`))
            )
          )
        )
      })
    const one = yield* Layer.build(running(database, "one", execute("one")))
    yield* Effect.gen(function* () {
      yield* start
      yield* until(
        "all are at work",
        Effect.sync(() => notes.length),
        (count) => count === names.length
      )
    }).pipe(Effect.provide(one))
    yield* Layer.build(running(database, "two", execute("two")))
    const moved = yield* until(
      "the other one has some",
      Effect.sync(() => notes.filter((note) => note.endsWith("by two"))),
      (some) => some.length > 0
    )
    expect(moved.length).toBeGreaterThan(0)
    yield* Deferred.succeed(bothAreThere, undefined)
    const ends = yield* Effect.forEach(names, (id) => Works.execute({ id })).pipe(Effect.provide(one))
    for (const [index, id] of names.entries()) {
      const cut = notes.indexOf(`${id} is cut by one`)
      const second = notes.indexOf(`${id} begins by two`)
      expect([id, ends[index]]).toEqual([id, second < 0 ? "one" : "two"])
      if (second >= 0) expect([id, cut >= 0 && cut < second]).toEqual([id, true])
    }
    expect(ends).toContain("one")
    expect(ends).toContain("two")
  })
)

it.scopedLive("stops with what runs, and stores nothing of it: the next runner goes on", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const scope = yield* Scope.make()
    const bodies: Array<string> = []
    const execute = (by: string) => () =>
      Effect.gen(function* () {
        const step = (name: string, body: Effect.Effect<string>) =>
          Activity.make({
            name,
            success: Schema.String,
            execute: Effect.suspend(() => {
              bodies.push(`${name} by ${by}`)
              return body
            })
          })
        const first = yield* step("first", Effect.succeed(by))
        return `${first} and ${yield* step("second", by === "one" ? Effect.never : Effect.succeed(by))}`
      })
    const one = yield* Layer.build(running(database, "one", execute("one"))).pipe(Scope.extend(scope))
    const waiting = yield* Effect.fork(Effect.provide(Works.execute({ id: "a" }), one))
    yield* until(
      "it is at its second step",
      Effect.sync(() => bodies),
      (all) => all.includes("second by one")
    )
    yield* Scope.close(scope, Exit.void)
    yield* Fiber.interrupt(waiting)
    expect(yield* database.query("select from cluster.cluster_replies")).toEqual([])
    const end = yield* Works.execute({ id: "a" }).pipe(Effect.provide(running(database, "two", execute("two"))))
    expect(end).toBe("one and two")
    expect(bodies).toEqual(["first by one", "second by one", "second by two"])
  })
)

it.scopedLive("gives what a workflow does not keep, a defect, to its entity, which does it again", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    let tries = 0
    const Dies = workflowById("Dies", Schema.Int).annotate(Workflow.CaptureDefects, false)
    const layer = Dies.toLayer(() =>
      Effect.suspend(() => (++tries < 3 ? Effect.die(new Error("not yet")) : Effect.succeed(tries)))
    ).pipe(Layer.provideMerge(oneRunner(database.urlOf("runtime"), { stepEngine: "journal", messageStorage: "group" })))
    expect(yield* Dies.execute({ id: "a" }).pipe(Effect.provide(layer))).toBe(3)
  })
)

it.scopedLive("lets what wakes an execution wait until that does not run any more", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const go = yield* Deferred.make<string>()
    const execute = () =>
      Effect.gen(function* () {
        const first = yield* Activity.make({
          name: "waits",
          success: Schema.String,
          execute: Deferred.await(go)
        })
        return `${first} ${yield* DurableDeferred.await(Go)}`
      })
    yield* Effect.gen(function* () {
      const executionId = yield* Works.execute({ id: "a" }, { discard: true })
      yield* DurableDeferred.done(Go, {
        token: DurableDeferred.tokenFromExecutionId(Go, { workflow: Works, executionId }),
        exit: Exit.succeed("and goes on")
      })
      yield* until(
        "the answer is read",
        database.query<{ read: boolean }>(
          "select last_read is not null as read from cluster.cluster_messages where tag = 'deferred'"
        ),
        ([row]) => row?.read === true
      )
      expect(yield* database.query("select from cluster.cluster_replies")).toEqual([])
      yield* Deferred.succeed(go, "waits")
      const end = yield* until("it ends", Works.poll(executionId), (result) => result?._tag === "Complete")
      expect(end).toMatchObject({ exit: Exit.succeed("waits and goes on") })
    }).pipe(Effect.provide(running(database, "one", execute)))
  })
)

it.scopedLive("does nothing again that a client tells of twice, or when it is done", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const go = yield* Deferred.make<string>()
    let bodies = 0
    let runs = 0
    const execute = () =>
      Effect.suspend(() => {
        runs++
        return Activity.make({
          name: "waits",
          success: Schema.String,
          execute: Effect.zipRight(
            Effect.sync(() => bodies++),
            Deferred.await(go)
          )
        })
      })
    yield* Effect.gen(function* () {
      const executionId = yield* Works.execute({ id: "a" }, { discard: true })
      yield* until(
        "it is at work",
        Effect.sync(() => bodies),
        (count) => count === 1
      )
      const storage = yield* MessageStorage.MessageStorage
      const { take } = yield* Runs
      const [row] = yield* database.query<{ id: string }>("select id::text as id from cluster.cluster_messages")
      const [message] = yield* storage.unprocessedMessagesById([Snowflake.Snowflake(row?.id ?? "")])
      if (message?._tag !== "IncomingRequest") return expect.fail("There is no message")
      expect(take(message)).toBe(true)
      yield* Deferred.succeed(go, "done")
      yield* until("it ends", Works.poll(executionId), (result) => result?._tag === "Complete")
      expect([runs, bodies]).toEqual([1, 1])
      // A word that was long under way: nobody remembers the execution, but its steps are recorded and its end is kept. Who sent
      // it waits here, as the server has it, and is told to look for the end.
      const asks = yield* Effect.fork(Effect.flip(storage.registerReplyHandler(message)))
      yield* Effect.yieldNow()
      yield* until(
        "it is begun",
        Effect.sync(() => take(message) && runs),
        (count) => count === 2
      )
      yield* until("it ends", Works.poll(executionId), (result) => result?._tag === "Complete")
      expect((yield* Fiber.join(asks))._tag).toBe("EntityNotAssignedToRunner")
      expect(yield* Works.execute({ id: "a" })).toBe("done")
      expect(bodies).toBe(1)
    }).pipe(Effect.provide(running(database, "one", execute)))
  })
)
