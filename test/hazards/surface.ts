/** Changes of the committed surface, as `deliver surface diff` judges them in a pull request. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { compare } from "../../src/surface/Compare.ts"
import type { Surface } from "../../src/surface/Surface.ts"
import { type Entry, saidBy } from "./Entry.ts"

const text = readFileSync(join(import.meta.dirname, "../../surface.json"), "utf8")

// biome-ignore lint/suspicious/noExplicitAny: an edit reaches into a surface as a developer's change would
type Loose = any
type Edit = (after: Loose, before: Loose) => void

const severity = { refuse: "hazard", undecided: "undecided", note: "note" } as const

const entry = (title: string, expect: string | null, edit: Edit, undecided?: true): Entry => ({
  gate: "surface",
  title,
  expect,
  ...(undecided === undefined ? {} : { undecided }),
  judge: Effect.sync(() => {
    const before = JSON.parse(text) as Surface
    const after = JSON.parse(text) as Surface
    edit(after, before)
    const findings = compare(before, after).map((each) => ({
      rule: each.rule,
      severity: severity[each.verdict],
      what: each.what,
      where: each.name
    }))
    const verdict = findings.some((each) => each.severity === "hazard")
      ? "refused"
      : findings.some((each) => each.severity === "undecided")
        ? "undecided"
        : "passed"
    return saidBy(verdict, findings)
  })
})

const agent = (surface: Loose) => surface.workflows.AgentWorkflow
const queue = () => ({
  payload: { type: "object", required: ["page"], properties: { page: { type: "number" } } },
  success: { type: "string" },
  error: { not: {} },
  keySamples: [{ payload: { page: 1 }, key: "1" }]
})
const rename = (record: Loose, from: string, to: string) => {
  record[to] = record[from]
  delete record[from]
}

export const surfaceEntries: ReadonlyArray<Entry> = [
  entry(
    "a workflow is removed",
    "Workflow AgentWorkflow is no longer declared",
    (s) => void delete s.workflows.AgentWorkflow
  ),
  entry("a workflow is renamed", "Workflow AgentWorkflow is no longer declared", (s) =>
    rename(s.workflows, "AgentWorkflow", "AgentRun")
  ),
  entry("an activity is renamed", "Activity Plan of AgentWorkflow", (s) =>
    rename(agent(s).activities, "Plan", "MakePlan")
  ),
  entry(
    "an activity is tried fewer times than executions may have used",
    "is tried again 1 times at most, no longer 3",
    (s) => {
      agent(s).activities.CallModel.retries = 1
    },
    true
  ),
  entry("an activity is tried more often", null, (s) => {
    agent(s).activities.CallModel.retries = 9
  }),
  entry("the release before did not say how often it tries", null, (_, before) => {
    delete agent(before).activities.CallModel.retries
  }),
  entry("an activity's case is changed", "Activity CallModel of AgentWorkflow", (s) =>
    rename(agent(s).activities, "CallModel", "callModel")
  ),
  entry("an activity loses its key", "no longer keyed", (s) => {
    agent(s).activities.CallTool.keyed = false
  }),
  entry("an activity gets a key", "now keyed", (s) => {
    agent(s).activities.Plan.keyed = true
  }),
  entry("a result asks for one more field", "can't read the success", (s) => {
    agent(s).activities.CallModel.success.properties.model = { type: "string" }
    agent(s).activities.CallModel.success.required.push("model")
  }),
  entry("a result's field gets another type", "can't read the success", (s) => {
    agent(s).activities.CallModel.success.properties.inputTokens = { type: "string" }
  }),
  entry("a result knows one outcome less", "The new release can't read the success", (s) => {
    agent(s).activities.CallTool.success.properties.outcome.enum = ["ok", "failed"]
  }),
  entry("a result knows one outcome more", "The old release can't read the success", (s) => {
    agent(s).activities.CallTool.success.properties.outcome.enum.push("timed-out")
  }),
  entry("an error code is added", "The old release can't read the error", (s) => {
    agent(s).activities.Plan.error.properties.code.enum.push("quota")
  }),
  entry("a result that was nothing becomes something", "can't read the success", (s) => {
    agent(s).activities.Complete.success = { type: "string" }
  }),
  entry("a deferred is renamed", "Deferred Approval of AgentWorkflow", (s) =>
    rename(agent(s).deferreds, "Approval", "Consent")
  ),
  entry("an approval asks for a reason", "can't read the success", (s) => {
    agent(s).deferreds.Approval.success.properties.reason = { type: "string" }
    agent(s).deferreds.Approval.success.required.push("reason")
  }),
  entry("a payload asks for one more field", "can't read the payload", (s) => {
    agent(s).payload.properties.region = { type: "string" }
    agent(s).payload.required.push("region")
  }),
  entry("a payload's field is renamed", "can't read the payload", (s) => {
    rename(agent(s).payload.properties, "message", "prompt")
    agent(s).payload.required = agent(s).payload.required.map((name: string) => (name === "message" ? "prompt" : name))
  }),
  entry(
    "ids may be shorter only",
    "may not be able to read the payload",
    (s) => {
      agent(s).payload.properties.runId.maxLength = 36
    },
    true
  ),
  entry("a workflow's result changes", "can't read the success", (s) => {
    agent(s).success = { type: "string" }
  }),
  entry("a workflow's error loses a field", "can't read the error", (s) => {
    delete agent(s).error.properties.message
    agent(s).error.required = agent(s).error.required.filter((name: string) => name !== "message")
  }),
  entry("the idempotency key is made of other fields", "makes another execution id", (s) => {
    for (const sample of agent(s).keySamples) sample.executionId = `${sample.executionId}0`
  }),
  entry("a workflow moves to a shard group of its own", "moves from shard group", (s) => {
    for (const sample of agent(s).keySamples) sample.shardGroup = "enterprise"
  }),
  entry("a clock is renamed", "Clock Cooldown of AgentWorkflow", (after, before) => {
    agent(before).clocks = ["Cooldown"]
    agent(after).clocks = ["Pause"]
  }),
  entry("a queue is renamed", "Queue Checks of AgentWorkflow is no longer declared", (after, before) => {
    agent(before).queues = { Checks: queue() }
    agent(after).queues = { Inspections: queue() }
  }),
  entry("an item of a queue asks for one more field", "can't read the payload", (after, before) => {
    agent(before).queues = { Checks: queue() }
    agent(after).queues = {
      Checks: {
        ...queue(),
        payload: {
          type: "object",
          required: ["page", "of"],
          properties: { page: { type: "number" }, of: { type: "number" } }
        }
      }
    }
  }),
  entry("an answer of a queue gets another type", "can't read the success", (after, before) => {
    agent(before).queues = { Checks: queue() }
    agent(after).queues = { Checks: { ...queue(), success: { type: "number" } } }
  }),
  entry("items of a queue get another key", "makes another key of the same item", (after, before) => {
    agent(before).queues = { Checks: queue() }
    agent(after).queues = { Checks: { ...queue(), keySamples: [{ payload: { page: 1 }, key: "page-1" }] } }
  }),
  entry("an entity is renamed", "Entity Agent is no longer declared", (s) => rename(s.entities, "Agent", "Session")),
  entry("an RPC is removed", "RPC Cancel of entity Agent", (s) => void delete s.entities.Agent.Cancel),
  entry("an RPC asks for one more field", "can't read the payload", (s) => {
    s.entities.Agent.Ask.payload.properties.budget = { type: "number" }
    s.entities.Agent.Ask.payload.required.push("budget")
  }),
  entry("an RPC answers something else", "can't read the success", (s) => {
    s.entities.Agent.Status.success = { type: "string" }
  }),
  entry("an RPC fails in a way callers don't know", "can't read the error", (s) => {
    s.entities.Agent.Cancel.error = { properties: { _tag: { enum: ["TooLate"] } }, required: ["_tag"], type: "object" }
  }),
  entry(
    "an RPC's calls are kept in the database",
    "now kept in the database",
    (s) => {
      s.entities.Agent.Status.persisted = !s.entities.Agent.Status.persisted
    },
    true
  ),
  entry("an entity moves to another shard group", "Entity Agent moves from shard group default to enterprise", (s) => {
    for (const id of Object.keys(s.entityGroups.Agent)) s.entityGroups.Agent[id] = "enterprise"
  }),
  entry("an event is no longer read", "Event Approved is no longer declared", (s) => void delete s.events.Approved),
  entry("an event's field gets another type", "can't read the Token", (s) => {
    s.events.Token.properties.text = { type: "integer" }
  }),
  entry("an event asks for one more field", "can't read the Completed", (s) => {
    s.events.Completed.properties.cost = { type: "number" }
    s.events.Completed.required.push("cost")
  }),
  entry(
    "an event is added and read strictly by old gateways",
    "Event Paused is new",
    (s) => {
      s.events.Paused = { properties: { _tag: { enum: ["Paused"] } }, required: ["_tag"], type: "object" }
    },
    true
  ),
  entry("there are more shards", "shardsPerGroup changes from 300 to 512", (s) => {
    s.sharding.shardsPerGroup = 512
  }),
  entry(
    "a shard group is added before the last",
    "The shard groups change",
    (s) => void s.sharding.groups.push("alpha")
  ),
  entry(
    "a shard group with executions is removed",
    "Executions of AgentWorkflow live in what goes",
    (after, before) => {
      before.sharding.groups = [...after.sharding.groups, "large"]
      for (const surface of [after, before]) {
        for (const sample of agent(surface).keySamples) sample.shardGroup = "large"
      }
    }
  ),

  entry("nothing changes", null, () => undefined),
  entry("a shard group is added after the last", null, (s) => void s.sharding.groups.push("zone")),
  entry(
    "a last shard group is removed that nothing lives in",
    null,
    (_, before) => void before.sharding.groups.push("zone")
  ),
  entry("a workflow is added", null, (s) => {
    s.workflows.Second = structuredClone(agent(s))
  }),
  entry("an activity is added", null, (s) => {
    agent(s).activities.Audit = structuredClone(agent(s).activities.Complete)
  }),
  entry("a deferred is added", null, (s) => {
    agent(s).deferreds.Consent = structuredClone(agent(s).deferreds.Approval)
  }),
  entry("a clock is added", null, (s) => void agent(s).clocks.push("Cooldown")),
  entry("an entity is added", null, (s) => {
    s.entities.Desk = structuredClone(s.entities.Agent)
    s.entityGroups.Desk = { "entity-1": "enterprise" }
  }),
  entry("the release before did not say where its entities live", null, (_, before) => {
    before.entityGroups = {}
  }),
  entry("an RPC is added", null, (s) => {
    s.entities.Agent.Pause = structuredClone(s.entities.Agent.Cancel)
  }),
  entry("a payload gets an optional field", null, (s) => {
    agent(s).payload.properties.note = { type: "string" }
  }),
  entry("a result gets an optional field", null, (s) => {
    agent(s).activities.CallModel.success.properties.model = { type: "string" }
  }),
  entry("a statement is written anew", null, (s) => {
    s.statements[0].text = "select 1"
  }),
  entry("a migration is added", null, (s) => void s.migrations.push("0099_more")),
  entry("required fields are listed in another order", null, (s) => void agent(s).payload.required.reverse()),
  entry("error codes are listed in another order", null, (s) => {
    agent(s).activities.Plan.error.properties.code.enum.reverse()
  })
]
