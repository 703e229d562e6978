import { ClusterSchema, Entity } from "@effect/cluster"
import { Rpc } from "@effect/rpc"
import { describe, expect, it } from "@effect/vitest"
import { DurableDeferred, DurableQueue } from "@effect/workflow"
import { Effect, Schema as S } from "effect"
import { type AnyDeclaration, declare } from "../agent/Declaration.ts"
import { type Assumptions, compare, everything } from "./Compare.ts"
import { extract, type Sources } from "./extract.ts"
import * as Surface from "./Surface.ts"

const checks = (change: object) =>
  DurableQueue.make({
    name: "Checks",
    payload: { page: S.Number },
    success: S.String,
    error: S.Never,
    idempotencyKey: ({ page }: { readonly page: number }) => String(page),
    ...change
  })

const base = {
  name: "Order",
  payload: S.Struct({ tenant: S.String, id: S.String }),
  success: S.Struct({ total: S.Number }),
  error: S.Struct({ reason: S.String }),
  idempotencyKey: (p: { readonly tenant: string; readonly id: string }) => `${p.tenant}/${p.id}`,
  activities: {
    plan: { name: "Plan", success: S.String, error: S.Never },
    tool: { name: "Tool", success: S.String, error: S.Never, keyed: true }
  },
  deferreds: { approval: DurableDeferred.make("Approval", { success: S.Struct({ by: S.String }) }) },
  clocks: { cooldown: { name: "Cooldown" } },
  queues: { check: checks({}) }
}

const Call = Rpc.make("Call", { payload: { id: S.String }, success: S.String }).annotate(ClusterSchema.Persisted, true)

const sources = (
  change: Partial<Sources> = {},
  declarations: ReadonlyArray<AnyDeclaration> = [declare(base)]
): Sources => ({
  declarations,
  entities: [Entity.make("Desk", [Call]) as never],
  events: S.Union(S.TaggedStruct("Opened", { by: S.String }), S.TaggedStruct("Closed", {})),
  statements: [
    { name: "b", text: "select 2", probe: undefined },
    { name: "a", text: "insert", probe: [1, null] }
  ],
  sharding: { groups: ["enterprise", "default"], shardsPerGroup: 300 },
  migrations: ["0002", "0001"],
  ...change
})

const workflow = (change: object): Sources => sources({}, [declare({ ...base, ...change } as typeof base)])

const differences = (after: Sources, given: Assumptions = everything) =>
  Effect.map(Effect.all([extract(sources()), extract(after)]), ([one, other]) => compare(one, other, given))

describe("compare", () => {
  it.effect.each([
    { title: "nothing", after: sources(), expected: [] },
    {
      title: "another order of everything",
      after: sources({
        migrations: ["0001", "0002"],
        sharding: { groups: ["default", "enterprise"], shardsPerGroup: 300 }
      }),
      expected: []
    },
    {
      title: "a title on a field",
      after: workflow({ payload: S.Struct({ tenant: S.String.annotations({ title: "T" }), id: S.String }) }),
      expected: []
    },
    {
      title: "a new activity",
      after: workflow({
        activities: { ...base.activities, audit: { name: "Audit", success: S.Void, error: S.Never } }
      }),
      expected: []
    },
    {
      title: "a new optional payload field",
      after: workflow({ payload: S.Struct({ ...base.payload.fields, note: S.optional(S.String) }) }),
      expected: []
    },
    {
      title: "a new required payload field",
      after: workflow({ payload: S.Struct({ ...base.payload.fields, model: S.String }) }),
      expected: ["refuse workflow-payload Order"]
    },
    {
      title: "a payload field removed",
      after: workflow({ payload: S.Struct({ id: S.String }), idempotencyKey: (p: { id: string }) => p.id }),
      expected: ["refuse workflow-payload Order", "refuse idempotency-key Order"]
    },
    {
      title: "an activity renamed",
      after: workflow({ activities: { ...base.activities, plan: { ...base.activities.plan, name: "MakePlan" } } }),
      expected: ["refuse activity-gone Order / activity Plan"]
    },
    {
      title: "an activity keyed",
      after: workflow({ activities: { ...base.activities, plan: { ...base.activities.plan, keyed: true } } }),
      expected: ["refuse activity-gone Order / activity Plan"]
    },
    {
      title: "an activity's result reshaped",
      after: workflow({
        activities: { ...base.activities, plan: { ...base.activities.plan, success: S.Struct({ steps: S.Number }) } }
      }),
      expected: ["refuse activity-result Order / activity Plan", "refuse activity-result Order / activity Plan"]
    },
    {
      title: "a deferred renamed",
      after: workflow({
        deferreds: { approval: DurableDeferred.make("Consent", { success: S.Struct({ by: S.String }) }) }
      }),
      expected: ["refuse deferred-gone Order / deferred Approval"]
    },
    {
      title: "a deferred's answer reshaped",
      after: workflow({
        deferreds: { approval: DurableDeferred.make("Approval", { success: S.Struct({ by: S.String, at: S.Number }) }) }
      }),
      expected: ["refuse deferred-result Order / deferred Approval"]
    },
    {
      title: "a clock renamed",
      after: workflow({ clocks: { cooldown: { name: "Rest" } } }),
      expected: ["refuse clock-gone Order / clock Cooldown"]
    },
    {
      title: "a queue renamed",
      after: workflow({ queues: { check: checks({ name: "Inspections" }) } }),
      expected: ["refuse queue-gone Order / queue Checks"]
    },
    {
      title: "an item of a queue with one more field",
      after: workflow({ queues: { check: checks({ payload: { page: S.Number, of: S.Number } }) } }),
      expected: ["refuse queue-payload Order / queue Checks"]
    },
    {
      title: "another answer of a queue",
      after: workflow({ queues: { check: checks({ success: S.Number }) } }),
      expected: ["refuse queue-result Order / queue Checks", "refuse queue-result Order / queue Checks"]
    },
    {
      title: "another key of a queue's items",
      after: workflow({ queues: { check: checks({ idempotencyKey: () => "one" }) } }),
      expected: ["refuse queue-key Order / queue Checks"]
    },
    {
      title: "a queue removed",
      after: workflow({ queues: {} }),
      expected: ["refuse queue-gone Order / queue Checks"]
    },
    {
      title: "another idempotency key",
      after: workflow({ idempotencyKey: (p: { id: string }) => p.id }),
      expected: ["refuse idempotency-key Order"]
    },
    {
      title: "another shard group",
      after: workflow({ shardGroup: () => "enterprise" }),
      expected: ["refuse shard-group Order"]
    },
    {
      title: "a workflow renamed",
      after: workflow({ name: "Purchase" }),
      expected: ["refuse workflow-gone Order", "note workflow-new Purchase"]
    },
    {
      title: "an RPC removed",
      after: sources({ entities: [Entity.make("Desk", []) as never] }),
      expected: ["refuse rpc-gone Desk.Call"]
    },
    {
      title: "an RPC's payload reshaped",
      after: sources({
        entities: [
          Entity.make("Desk", [
            Rpc.make("Call", { payload: { id: S.Number }, success: S.String }).annotate(ClusterSchema.Persisted, true)
          ]) as never
        ]
      }),
      expected: ["refuse rpc-payload Desk.Call", "refuse rpc-payload Desk.Call"]
    },
    {
      title: "an event removed",
      after: sources({ events: S.TaggedStruct("Opened", { by: S.String }) }),
      expected: ["refuse event-gone event Closed"]
    },
    {
      title: "an event added",
      after: sources({ events: S.Union(sources().events as S.Schema.AnyNoContext, S.TaggedStruct("Paused", {})) }),
      expected: ["undecided event-new event Paused"]
    },
    {
      title: "another number of shards",
      after: sources({ sharding: { groups: ["default", "enterprise"], shardsPerGroup: 100 } }),
      expected: ["refuse shards-per-group shardsPerGroup"]
    },
    {
      title: "a shard group that moves the others",
      after: sources({ sharding: { groups: ["default", "enterprise", "canary"], shardsPerGroup: 300 } }),
      expected: ["refuse shard-groups availableShardGroups"]
    },
    {
      title: "a first shard group removed",
      after: sources({ sharding: { groups: ["enterprise"], shardsPerGroup: 300 } }),
      expected: ["refuse shard-groups availableShardGroups"]
    },
    {
      title: "a shard group renamed",
      after: sources({ sharding: { groups: ["default", "large"], shardsPerGroup: 300 } }),
      expected: ["refuse shard-groups availableShardGroups"]
    },
    {
      title: "a shard group after the last",
      after: sources({ sharding: { groups: ["default", "enterprise", "trial"], shardsPerGroup: 300 } }),
      expected: ["note shard-groups-new availableShardGroups"]
    },
    {
      title: "a last shard group removed that no workflow lives in",
      after: sources({ sharding: { groups: ["default"], shardsPerGroup: 300 } }),
      expected: ["note shard-groups-gone availableShardGroups"]
    }
  ])("$title: $expected", ({ after, expected }) =>
    Effect.gen(function* () {
      const found = yield* differences(after)
      expect(found.map(({ verdict, rule, name }) => `${verdict} ${rule} ${name}`).sort()).toEqual([...expected].sort())
      for (const difference of found) {
        expect(difference.why).not.toBe("")
        expect(difference.fix).not.toBe("")
      }
    })
  )

  it.effect("only notes a renamed activity that no open execution can meet", () =>
    Effect.gen(function* () {
      const after = workflow({ activities: { tool: base.activities.tool } })
      const unmet: ReadonlyArray<Assumptions> = [
        { open: () => false, sideBySide: true },
        { open: () => false, sideBySide: false },
        { open: () => true, begun: (_, activity) => activity !== "Plan", sideBySide: true }
      ]
      for (const given of unmet) {
        const [found] = yield* differences(after, given)
        expect(found).toMatchObject({ verdict: "note", rule: "activity-gone" })
        expect(found?.what).toContain("No open execution can meet it")
      }
    })
  )

  it.effect("still refuses a payload that a running old release may yet write, but not when none runs", () =>
    Effect.gen(function* () {
      const after = workflow({ payload: S.Struct({ ...base.payload.fields, model: S.String }) })
      expect((yield* differences(after, { open: () => false, sideBySide: true }))[0]?.verdict).toBe("refuse")
      expect((yield* differences(after, { open: () => true, sideBySide: false }))[0]?.verdict).toBe("note")
    })
  )
})

describe("a surface", () => {
  it.effect("survives being written and read", () =>
    Effect.gen(function* () {
      const surface = yield* extract(sources())
      const read = yield* Surface.parse(Surface.print(surface), "surface.json")
      expect(Surface.print(read)).toBe(Surface.print(surface))
      expect(compare(surface, read)).toEqual([])
    })
  )

  it.effect("is the same bytes for the same code", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([extract(sources()), extract(sources())])
      expect(Surface.print(one)).toBe(Surface.print(two))
    })
  )

  it.effect("of a newer format is not guessed at", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Surface.parse(`{"format": 2, "workflows": []}`, "release abc"))
      expect(error).toMatchObject({ newer: true })
      expect(error.message).toContain("release abc has surface format 2")
    })
  )

  it.effect.each(["", "{", "[]", `{"format":1}`, `{"format":"1"}`, "null"])(
    "that is broken (%s) is named, not crashed on",
    (text) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Surface.parse(text, "surface.json"))
        expect(error).toMatchObject({ newer: false })
        expect(error.message).toContain("surface.json is not")
      })
  )
})
