/** When steps go into the journal, with releases recorded that read it and some that don't. */
import { expect, it } from "@effect/vitest"
import { Activity, DurableDeferred } from "@effect/workflow"
import { Cause, Effect, Exit, Layer, Schema, TestClock, TestServices } from "effect"
import { describe, vi } from "vitest"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { oneRunner, workflowById } from "../../../test/support/one-runner.ts"
import { until } from "../../../test/support/wait.ts"
import * as Database from "../Database.ts"
import { databaseFromUrl } from "../Settings.ts"
import { everyoneReads, writes } from "./Readers.ts"

vi.setConfig({ testTimeout: 60_000 })

const READS = '{"statements":[{"name":"journal.load","text":""}]}'
const OLD = '{"statements":[{"name":"runs.accept","text":""}]}'

const recorded = (database: MigratedDatabase, release: string, state: string, surface: string) =>
  database.query("insert into agents.releases (release, state, surface) values ($1, $2, $3)", [release, state, surface])

const onDatabase = <A, E>(
  body: (
    database: MigratedDatabase
  ) => Effect.Effect<A, E, import("effect/Scope").Scope | Layer.Layer.Success<ReturnType<typeof connected>>>
) => Effect.flatMap(migratedDatabase, (database) => body(database).pipe(Effect.provide(connected(database))))

const connected = (database: MigratedDatabase) =>
  Layer.orDie(
    Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 2 })
  )

describe("who reads the journal", () => {
  it.scopedLive("everyone, where no release is recorded and none runs", () =>
    onDatabase(() => Effect.map(everyoneReads("own"), (all) => expect(all).toBe(true)))
  )

  for (const state of ["deploying", "deployed", "rollback-choice"]) {
    it.scopedLive(`not a release from before it that is recorded as ${state}, until it is retired`, () =>
      onDatabase((database) =>
        Effect.gen(function* () {
          yield* recorded(database, "own", state === "deployed" ? "deploying" : "deployed", READS)
          yield* recorded(database, "old", state, OLD)
          expect(yield* everyoneReads("own")).toBe(false)
          yield* database.query("update agents.releases set state = 'retired' where release = 'old'")
          expect(yield* everyoneReads("own")).toBe(true)
        })
      )
    )
  }

  it.scopedLive("not a release whose record says no statements", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* recorded(database, "old", "deployed", "{}")
        expect(yield* everyoneReads("own")).toBe(false)
      })
    )
  )

  it.scopedLive("not a runner that still lives of a retired release, nor of one that nobody recorded", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* recorded(database, "old", "retired", OLD)
        yield* database.query("insert into agents.runners (runner, release, carries) values ('pod-0', 'own', '{}')")
        expect(yield* everyoneReads("own")).toBe(true)
        for (const release of ["old", "unknown"]) {
          yield* database.query("insert into agents.runners (runner, release, carries) values ('pod-1', $1, '{}')", [
            release
          ])
          expect(yield* everyoneReads("own"), release).toBe(false)
          yield* database.query(
            "update agents.runners set seen_at = now() - interval '1 minute' where runner = 'pod-1'"
          )
          expect(yield* everyoneReads("own"), release).toBe(true)
          yield* database.query("delete from agents.runners where runner = 'pod-1'")
        }
      })
    )
  )

  it.scoped("is looked at again", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* recorded(database, "old", "rollback-choice", OLD)
        const writing = yield* writes("auto")
        expect(writing()).toBe(false)
        const seen = (what: string, expected: boolean) =>
          TestServices.provideLive(until(what, Effect.sync(writing), (now) => now === expected))
        yield* database.query("update agents.releases set state = 'retired'")
        yield* TestClock.adjust("5 seconds")
        yield* seen("it writes", true)
        yield* database.query("update agents.releases set state = 'deploying'")
        yield* TestClock.adjust("5 seconds")
        yield* seen("it writes no more", false)
      })
    )
  )

  it.scopedLive("lets no release come back that does not read what is recorded", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        yield* recorded(database, "old", "deployed", OLD)
        yield* database.query(`insert into agents.steps (execution_id, name, attempt, exit, release, fingerprint, started_at, finished_at)
          values ('a', 'first', 1, '{}', 'own', '', now(), now())`)
        // On its way out it may go: that is no coming back.
        yield* database.query("update agents.releases set state = 'rollback-choice' where release = 'old'")
        yield* database.query("update agents.releases set state = 'retired' where release = 'old'")
        const tried = (effect: Effect.Effect<unknown, unknown>) =>
          Effect.map(Effect.sandbox(effect).pipe(Effect.flip), (cause) => String(Cause.squash(cause)))
        expect(
          yield* tried(database.query("update agents.releases set state = 'deploying' where release = 'old'"))
        ).toContain("does not read agents.steps")
        expect(yield* tried(recorded(database, "older", "deploying", OLD))).toContain("does not read agents.steps")
        yield* recorded(database, "next", "deploying", READS)
        yield* database.query("delete from agents.steps")
        yield* database.query("update agents.releases set state = 'deploying' where release = 'old'")
      })
    )
  )
})

const Go = DurableDeferred.make("Go", { success: Schema.String })
const Three = workflowById("Three", Schema.Array(Schema.String))

it.scopedLive("begins as messages beside an old release, goes on in the journal after it, and repeats no step", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    yield* recorded(database, "old", "rollback-choice", OLD)
    const bodies: Array<string> = []
    const carriedOut = (release: string) =>
      Three.toLayer(() =>
        Effect.gen(function* () {
          const step = (name: string) =>
            Activity.make({
              name,
              success: Schema.String,
              execute: Effect.sync(() => {
                bodies.push(name)
                return `${name} by ${release}`
              })
            })
          const first = yield* step("first")
          yield* DurableDeferred.await(Go)
          return [first, yield* step("second")]
        })
      )
    const runner = (release: string) =>
      carriedOut(release).pipe(
        Layer.provideMerge(
          oneRunner(database.urlOf("runtime"), { stepEngine: "auto", messageStorage: "group" }, release, release)
        )
      )
    const steps = database.query<{ name: string }>("select name from agents.steps order by finished_at")
    const id = yield* Effect.gen(function* () {
      const executionId = yield* Three.execute({ id: "a" }, { discard: true })
      yield* until("the execution waits", Three.poll(executionId), (result) => result?._tag === "Suspended")
      return executionId
    }).pipe(Effect.provide(runner("one")), Effect.scoped)
    expect(yield* steps).toEqual([])
    yield* database.query("update agents.releases set state = 'retired' where release = 'old'")
    yield* Effect.gen(function* () {
      yield* DurableDeferred.done(Go, {
        token: DurableDeferred.tokenFromExecutionId(Go, { workflow: Three, executionId: id }),
        exit: Exit.succeed("go")
      })
      expect(yield* Three.execute({ id: "a" })).toEqual(["first by one", "second by two"])
    }).pipe(Effect.provide(runner("two")), Effect.scoped)
    expect(yield* steps).toEqual([{ name: "second" }])
    expect(bodies).toEqual(["first", "second"])
  })
)
