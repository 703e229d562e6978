/** The workflow gate on executions whose steps are in the journal: it must see them as it sees the engine's own messages. */
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import { oneRunner } from "../../../test/support/one-runner.ts"
import { carriedOut, order, orderOptions, surfaceOf } from "../../../test/support/open-work.ts"
import { until } from "../../../test/support/wait.ts"
import { type AnyDeclaration, declare } from "../../agent/Declaration.ts"
import * as Database from "../Database.ts"
import { judge } from "./Gate.ts"
import * as PostgresOpenWork from "./PostgresOpenWork.ts"
import * as Replay from "./replay/Replay.ts"

const edited = (change: object): AnyDeclaration => declare({ ...orderOptions, ...change } as typeof orderOptions)

/** As the gate's own role. */
const ask = (database: MigratedDatabase, declaration: AnyDeclaration) =>
  Effect.gen(function* () {
    const surface = yield* surfaceOf([declaration], 20)
    const settings = yield* Database.fromUrl(database.urlOf("reader"))
    const replayer = declaration === order ? yield* Replay.make(carriedOut) : undefined
    return yield* judge({
      release: "new",
      surface,
      declarations: [declaration],
      entities: [],
      others: undefined,
      replayer
    }).pipe(Effect.provide(PostgresOpenWork.layer), Effect.provide(Database.layer(settings)), Effect.scoped)
  })

const { activities } = orderOptions

it.scopedLive("replays journalled steps, and names the release that recorded one that no longer decodes", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    yield* Effect.gen(function* () {
      const id = yield* order.workflow.execute({ tenant: "acme", id: "a", wait: "approval" }, { discard: true })
      yield* until("the order waits", order.workflow.poll(id), (result) => result?._tag === "Suspended")
    }).pipe(
      Effect.provide(
        carriedOut.pipe(
          Layer.provideMerge(
            oneRunner(database.urlOf("runtime"), { stepEngine: "journal", messageStorage: "stock" }, "one", "r-41")
          )
        )
      ),
      Effect.scoped
    )
    const recorded = yield* database.query<{ name: string }>("select name from agents.steps order by name")
    expect(recorded.map(({ name }) => name)).toEqual(["Plan", "Tool#first"])

    expect((yield* ask(database, order)).findings).toEqual([])

    const renamed = yield* ask(
      database,
      edited({ activities: { ...activities, plan: { ...activities.plan, name: "Planning" } } })
    )
    expect(renamed.findings.map(({ rule, severity }) => `${severity} ${rule}`)).toContain("hazard activity-gone")

    const reshaped = yield* ask(
      database,
      edited({
        activities: { ...activities, plan: { ...activities.plan, success: Schema.Struct({ steps: Schema.String }) } }
      })
    )
    const [finding] = reshaped.findings.filter(({ rule }) => rule === "activity-result")
    expect(finding?.severity).toBe("hazard")
    expect(JSON.stringify(finding)).toContain("recorded by release r-41")

    yield* database.query("update agents.steps set exit = '{' where name = 'Plan'")
    const damaged = yield* ask(database, edited({}))
    expect(damaged.findings.map(({ rule, severity }) => `${severity} ${rule}`)).toContain("undecided activity-result")
  })
)
