import { describe, expect, it } from "@effect/vitest"
import { DurableDeferred } from "@effect/workflow"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, Either, Layer, Schema } from "effect"
import { type TestDatabase, testDatabase } from "../../../test/support/database.ts"
import { approve, carriedOut, order, orderOptions, startOrders, surfaceOf } from "../../../test/support/open-work.ts"
import { until } from "../../../test/support/wait.ts"
import { type AnyDeclaration, declare } from "../../agent/Declaration.ts"
import { SurfaceUnreadable } from "../../surface/Surface.ts"
import * as Database from "../Database.ts"
import type { Finding } from "../Evidence.ts"
import { judge } from "./Gate.ts"
import type { OtherRelease } from "./OtherReleases.ts"
import * as PostgresOpenWork from "./PostgresOpenWork.ts"
import * as Replay from "./replay/Replay.ts"
import { shardNumber } from "./rules/Shard.ts"

type Options = typeof orderOptions
const edited = (change: object): AnyDeclaration => declare({ ...orderOptions, ...change } as Options)
const unchanged = edited({})

interface Asked {
  readonly declarations?: ReadonlyArray<AnyDeclaration>
  readonly shardsPerGroup?: number
  readonly groups?: Array<string>
  readonly others?: ReadonlyArray<OtherRelease>
  readonly handlers?: Layer.Layer<never, never, WorkflowEngine>
}

const ask = (
  database: TestDatabase,
  { declarations = [unchanged], shardsPerGroup, groups, others, handlers }: Asked = {}
) =>
  Effect.gen(function* () {
    const surface = yield* surfaceOf(declarations, shardsPerGroup, groups)
    const settings = yield* Database.fromUrl(database.url)
    const replayer = handlers === undefined ? undefined : yield* Replay.make(handlers)
    return yield* judge({ release: "new", surface, declarations, entities: [], others, replayer }).pipe(
      Effect.provide(PostgresOpenWork.layer),
      Effect.provide(Database.layer(settings)),
      Effect.scoped
    )
  })

const told = (findings: ReadonlyArray<Finding>) =>
  findings.map(({ severity, rule, where }) => `${severity} ${rule} ${where.split(":")[0]}`)

const old = (declarations: ReadonlyArray<AnyDeclaration>, change: Partial<OtherRelease> = {}) =>
  Effect.map(
    surfaceOf(declarations),
    (surface): OtherRelease => ({
      release: "old",
      state: "deployed",
      liveRunners: 2,
      surface: Either.right(surface),
      ...change
    })
  )

/** One waits for its approval, one has it and sleeps, one sleeps without. */
const started = Effect.gen(function* () {
  const database = yield* testDatabase
  const order = (id: string, wait: "approval" | "clock" | "both") => ({ tenant: "acme", id, wait })
  const ids = yield* startOrders(
    database,
    [order("a", "approval"), order("b", "both"), order("c", "clock")],
    ([, second]) =>
      approve(second!, "alice").pipe(
        Effect.andThen(
          until(
            "the approved order sleeps",
            database.query<{ n: number }>(
              "select count(*)::int as n from cluster.cluster_messages where entity_type = 'Workflow/-/DurableClock'"
            ),
            ([row]) => row?.n === 2
          )
        ),
        Effect.orDie,
        Effect.asVoid
      )
  )
  return { database, ids }
})

const { activities } = orderOptions

describe("the workflow gate, on executions that the engine left open", () => {
  it.scopedLive("passes a release that changed nothing they can meet, and counts what it looked at", () =>
    Effect.gen(function* () {
      const { database, ids } = yield* started
      const harmless = [
        unchanged,
        edited({ activities: { ...activities, audit: { name: "Audit", success: Schema.Void, error: Schema.Never } } }),
        edited({ payload: Schema.Struct({ ...orderOptions.payload.fields, note: Schema.optional(Schema.String) }) }),
        edited({
          activities: {
            ...activities,
            plan: {
              ...activities.plan,
              success: Schema.Struct({ steps: Schema.Number, cost: Schema.optional(Schema.Number) })
            }
          }
        }),
        // Nobody is past it.
        edited({ activities: { ...activities, complete: { ...activities.complete, name: "Finish" } } })
      ]
      for (const declaration of harmless) {
        const result = yield* ask(database, { declarations: [declaration] })
        expect(result.findings).toEqual([])
        expect(result.checks[0]).toEqual({
          name: "open executions",
          result: "3 (0 running, 3 suspended, 0 dead): Order 3"
        })
      }
      for (const id of ids) {
        const [row] = yield* database.query<{ shard_id: string }>(
          "select distinct shard_id from cluster.cluster_messages where entity_id = $1",
          [id]
        )
        expect(row?.shard_id).toBe(`default:${shardNumber(id, 300)}`)
      }
    })
  )

  it.scopedLive("replays them with the release's own code, and refuses code that would do recorded work again", () =>
    Effect.gen(function* () {
      const { database } = yield* started
      const same = yield* ask(database, { declarations: [order], handlers: carriedOut })
      expect(same.findings).toEqual([])
      expect(same.checks.find(({ name }) => name === "replay")?.result).toContain("3 of 3 open executions, each twice")

      const never = Effect.die("a replay carries nothing out")
      const changed = order.toLayer(
        (_payload, steps) =>
          Effect.gen(function* () {
            yield* steps.tool("plan", never)
            yield* steps.tool("first", never)
            yield* steps.approval
            return { total: 1 }
          }),
        { onCancelled: () => Effect.void }
      )
      const { findings } = yield* ask(database, { declarations: [order], handlers: changed })
      expect(told(findings)).toEqual(["hazard replay-never-asked Order / activity Plan"])
      expect(findings[0]?.what).toContain("it begins Tool instead")

      const unregistered = yield* ask(database, { declarations: [order], handlers: Layer.empty })
      expect(told(unregistered.findings)).toEqual(["hazard replay-not-registered Order"])
    })
  )

  it.scopedLive("refuses what would strand them, names it, and lists the executions", () =>
    Effect.gen(function* () {
      const { database, ids } = yield* started
      const hazards: ReadonlyArray<readonly [Asked, ReadonlyArray<string>]> = [
        [{ declarations: [] }, ["hazard workflow-gone Order"]],
        [{ declarations: [edited({ name: "Purchase" })] }, ["hazard workflow-gone Order"]],
        [
          { declarations: [edited({ activities: { ...activities, plan: { ...activities.plan, name: "MakePlan" } } })] },
          ["hazard activity-gone Order / activity Plan"]
        ],
        [
          { declarations: [edited({ activities: { ...activities, tool: { ...activities.tool, keyed: false } } })] },
          ["hazard activity-gone Order / activity Tool"]
        ],
        [
          {
            declarations: [
              edited({
                activities: {
                  ...activities,
                  plan: { ...activities.plan, success: Schema.Struct({ steps: Schema.Array(Schema.String) }) }
                }
              })
            ]
          },
          ["hazard activity-result Order / activity Plan"]
        ],
        [{ declarations: [edited({ deferreds: {} })] }, ["hazard deferred-gone Order / deferred Approval"]],
        [
          {
            declarations: [
              edited({
                deferreds: {
                  approval: DurableDeferred.make("Approval", {
                    success: Schema.Struct({ by: Schema.String, at: Schema.Number })
                  })
                }
              })
            ]
          },
          ["hazard deferred-result Order / deferred Approval"]
        ],
        [{ declarations: [edited({ clocks: {} })] }, ["hazard clock-gone Order / clock Cooldown"]],
        [
          {
            declarations: [edited({ payload: Schema.Struct({ ...orderOptions.payload.fields, model: Schema.String }) })]
          },
          ["hazard workflow-payload Order"]
        ],
        [
          { declarations: [edited({ idempotencyKey: (payload: { id: string }) => payload.id })] },
          ["hazard idempotency-key Order"]
        ],
        [
          { declarations: [edited({ shardGroup: () => "enterprise" })], groups: ["default", "enterprise"] },
          ["hazard shard-group Order"]
        ],
        [{ shardsPerGroup: 100 }, ["hazard shards-per-group shardsPerGroup"]],
        [{ groups: ["enterprise"] }, ["hazard shard-groups availableShardGroups"]]
      ]
      for (const [asked, expected] of hazards) {
        const { findings } = yield* ask(database, asked)
        expect(told(findings)).toEqual(expected)
        expect(ids.some((id) => findings[0]?.where.includes(id))).toBe(true)
      }
      const [renamed] = (yield* ask(database, hazards[2]![0])).findings
      expect(renamed?.where).toBe(`Order / activity Plan: 3 executions: ${ids.join(", ")}`)
    })
  )

  it.scopedLive("says what it decodes without repeating a person's data", () =>
    Effect.gen(function* () {
      const { database } = yield* started
      const { findings } = yield* ask(database, {
        declarations: [
          edited({
            deferreds: { approval: DurableDeferred.make("Approval", { success: Schema.Struct({ by: Schema.Number }) }) }
          })
        ]
      })
      expect(findings[0]?.detail).toContain("expected number".replace("e", "E"))
      expect(JSON.stringify(findings)).not.toContain("alice")
    })
  )

  it.scopedLive("tells a rename from a removal by the surface of the release that ran", () =>
    Effect.gen(function* () {
      const { database } = yield* started
      const { plan: _, ...others } = activities
      const removed = yield* ask(database, {
        declarations: [edited({ activities: others })],
        others: [yield* old([unchanged])]
      })
      expect(removed.findings[0]).toMatchObject({ rule: "activity-gone", severity: "undecided" })
      const renamed = yield* ask(database, {
        declarations: [edited({ activities: { ...others, plan: { ...activities.plan, name: "MakePlan" } } })],
        others: [yield* old([unchanged])]
      })
      expect(renamed.findings.filter(({ rule }) => rule === "activity-gone")).toMatchObject([{ severity: "hazard" }])
      expect(renamed.findings[0]?.what).toContain("it does declare MakePlan, which is new")
    })
  )

  it.scopedLive("answers, asked with an older image, whether that one may come back", () =>
    Effect.gen(function* () {
      const { database } = yield* started
      const newer = [yield* old([unchanged], { release: "newer" })]
      const { clocks: _, ...withoutClock } = orderOptions
      const older = {
        "read it all": [
          edited({ success: Schema.Struct({ total: Schema.Number, tax: Schema.optional(Schema.Number) }) })
        ],
        "lack a step that the newer one added": [
          edited({ activities: { plan: activities.plan, complete: activities.complete } })
        ],
        "lack a clock that the newer one sleeps on": [declare(withoutClock as unknown as Options)],
        "lack the workflow": []
      }
      const verdicts = yield* Effect.forEach(Object.values(older), (declarations) =>
        Effect.map(ask(database, { declarations, others: newer }), ({ findings }) =>
          findings.filter(({ severity }) => severity !== "note").map(({ rule, severity }) => `${severity} ${rule}`)
        )
      )
      expect(verdicts).toEqual([[], ["undecided activity-gone"], ["hazard clock-gone"], ["hazard workflow-gone"]])
    })
  )

  it.scopedLive("refuses a deferred that an open execution may wait for, which only a surface can tell", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      yield* startOrders(database, [{ tenant: "acme", id: "a", wait: "approval" }])
      const asked = { declarations: [edited({ deferreds: {} })], others: [yield* old([unchanged])] }
      expect(told((yield* ask(database, asked)).findings)).toEqual([
        "hazard deferred-gone Order / deferred Approval, against release old (deployed, 2 live runners)"
      ])
    })
  )

  it.scopedLive("notes executions that are dead already, and judges them no further", () =>
    Effect.gen(function* () {
      const { database, ids } = yield* started
      yield* database.query(
        `update cluster.cluster_replies set payload = $2 where kind = 0 and request_id = (select id from cluster.cluster_messages where tag = 'run' and entity_id = $1 and entity_type = 'Workflow/Order')`,
        [
          ids[0],
          JSON.stringify({
            _tag: "Failure",
            cause: { _tag: "Die", defect: "Entity type 'Workflow/Order' not registered" }
          })
        ]
      )
      const { findings, checks } = yield* ask(database)
      expect(findings).toMatchObject([
        { rule: "poisoned", severity: "note", detail: "Entity type 'Workflow/Order' not registered" }
      ])
      expect(checks[0]?.result).toBe("3 (0 running, 2 suspended, 1 dead): Order 2")
    })
  )

  it.scopedLive("finds damaged rows without falling over them", () =>
    Effect.gen(function* () {
      const { database, ids } = yield* started
      yield* database.query(
        "update cluster.cluster_messages set payload = left(payload, 10) where entity_id = $1 and tag in ('run', 'activity')",
        [ids[0]]
      )
      yield* database.query(
        "update cluster.cluster_replies r set payload = left(r.payload, 20) from cluster.cluster_messages m where m.id = r.request_id and m.entity_id = $1 and m.tag = 'activity'",
        [ids[1]]
      )
      const { findings } = yield* ask(database)
      expect(told(findings).sort()).toEqual([
        "undecided activity-result Order / activity Plan",
        "undecided activity-result Order / activity Tool",
        "undecided damaged-row Order",
        "undecided workflow-payload Order"
      ])
    })
  )

  it.scopedLive("leaves values that are too long to a person, and does not load them", () =>
    Effect.gen(function* () {
      const { database, ids } = yield* started
      // 100 MB, made in the database.
      yield* database.query(
        `update cluster.cluster_messages set payload = '{"tenant":"acme","wait":"both","id":"' || repeat('x', 100000000) || '"}'
         where entity_id = $1 and entity_type = 'Workflow/Order' and tag = 'run'`,
        [ids[0]]
      )
      const { findings, checks } = yield* ask(database, { declarations: [order], handlers: carriedOut })
      expect(findings).toMatchObject([
        {
          rule: "workflow-payload",
          severity: "undecided",
          detail: "it is 100000039 bytes long; a gate reads no value above 262144"
        }
      ])
      expect(checks[0]?.result).toContain("3 (0 running, 3 suspended, 0 dead)")
    })
  )

  it.scopedLive("leaves payloads with NUL and half characters, which no start can have had, to a person", () =>
    Effect.gen(function* () {
      const { database, ids } = yield* started
      yield* database.query(
        `update cluster.cluster_messages set payload = '{"tenant":"acme","wait":"both","id":"\\u0000\\ud800"}'
         where entity_id = $1 and entity_type = 'Workflow/Order' and tag = 'run'`,
        [ids[0]]
      )
      const { findings } = yield* ask(database)
      expect(told(findings)).toEqual(["undecided workflow-payload Order"])
    })
  )

  it.scopedLive("does not judge a database in another encoding than a runner's", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const other = `${database.name}_ascii`
      yield* Effect.acquireRelease(
        database.query(`create database ${other} template template0 encoding 'SQL_ASCII' locale 'C'`),
        () => database.query(`drop database ${other} with (force)`)
      )
      const url = new URL(database.url)
      url.pathname = other
      const failure = yield* Effect.flip(ask({ ...database, url: url.toString() }))
      expect(failure).toMatchObject({ _tag: "OpenWorkUnreadable", precondition: true })
      expect(failure.message).toContain("encoded in SQL_ASCII")
    })
  )

  it.scopedLive("judges calls of entities that wait", () =>
    Effect.gen(function* () {
      const { database, ids } = yield* started
      yield* database.query(
        `insert into cluster.cluster_messages (id, shard_id, entity_type, entity_id, kind, tag, payload, headers, request_id)
         values (1, 'default:1', 'Desk', 'desk-7', 0, 'Call', '{}', '{}', 1)`
      )
      const { findings } = yield* ask(database)
      expect(findings).toMatchObject([{ rule: "rpc-gone", severity: "hazard", where: "Desk.Call: 1 call: desk-7" }])
      expect(ids).toHaveLength(3)
    })
  )
})

describe("the workflow gate, without open work", () => {
  it.scopedLive("passes an empty database with a note", () =>
    Effect.gen(function* () {
      const { findings } = yield* ask(yield* testDatabase)
      expect(findings).toMatchObject([{ rule: "no-open-work", severity: "note" }])
    })
  )

  it.scopedLive(
    "notes a renamed activity that nobody can meet, and still refuses what runners side by side would break",
    () =>
      Effect.gen(function* () {
        const database = yield* testDatabase
        const others = [yield* old([unchanged])]
        const renamed = [edited({ activities: { ...activities, plan: { ...activities.plan, name: "MakePlan" } } })]
        const severities = (findings: ReadonlyArray<Finding>) =>
          findings.filter(({ rule }) => rule !== "no-open-work").map(({ rule, severity }) => `${severity} ${rule}`)
        expect(severities((yield* ask(database, { declarations: renamed, others })).findings)).toEqual([
          "note activity-gone"
        ])
        expect(severities((yield* ask(database, { shardsPerGroup: 100, others })).findings)).toEqual([
          "hazard shards-per-group"
        ])
        expect(severities((yield* ask(database, { groups: ["canary", "default"], others })).findings)).toEqual([
          "hazard shard-groups"
        ])
        expect(severities((yield* ask(database, { groups: ["default", "enterprise"], others })).findings)).toEqual([
          "note shard-groups-new"
        ])
        const payload = [edited({ payload: Schema.Struct({ ...orderOptions.payload.fields, model: Schema.String }) })]
        expect(severities((yield* ask(database, { declarations: payload, others })).findings)).toEqual([
          "hazard workflow-payload"
        ])
        const gone = [yield* old([unchanged], { state: "rollback-choice", liveRunners: 0 })]
        expect(severities((yield* ask(database, { declarations: payload, others: gone })).findings)).toEqual([
          "note workflow-payload"
        ])
      })
  )

  it.scopedLive("leaves a surface of a newer format, or a release nobody recorded, to a person", () =>
    Effect.gen(function* () {
      const database = yield* testDatabase
      const newer = new SurfaceUnreadable({ source: "x", newer: true, message: "x has surface format 2" })
      const others: ReadonlyArray<OtherRelease> = [
        { release: "newer", state: "deployed", liveRunners: 1, surface: Either.left(newer) },
        { release: "stranger", state: undefined, liveRunners: 3, surface: undefined }
      ]
      const { findings } = yield* ask(database, { others })
      expect(told(findings)).toEqual([
        "undecided surface-unreadable newer (deployed, 1 live runner)",
        "undecided release-unknown stranger (not recorded, 3 live runners)",
        "note no-open-work schema cluster"
      ])
    })
  )
})
