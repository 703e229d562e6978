import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { agentWorkflow } from "../../agent/AgentWorkflow.ts"
import { declarations } from "../../agent/registry.ts"
import type { BegunActivity, Execution } from "../../gates/workflows/OpenWork.ts"
import * as Replay from "../../gates/workflows/replay/Replay.ts"
import { replayRules } from "../../gates/workflows/replay/Rules.ts"
import { handlers } from "./replayHandlers.ts"

const ended = (name: string, exit: unknown, attempt = 1): BegunActivity => ({
  name,
  attempt,
  reply: { _tag: "value", value: { _tag: "Success", value: { _tag: "Complete", exit } } }
})
const done = (name: string, value?: unknown) => ended(name, { _tag: "Success", value })
const failed = (name: string, code: string, retryable: boolean, attempt = 1) =>
  ended(
    name,
    { _tag: "Failure", cause: { _tag: "Fail", error: { _tag: "StepFailed", code, message: "no", retryable } } },
    attempt
  )
const begun = (name: string): BegunActivity => ({ name, attempt: 1, reply: undefined })

const calls = ["a", "b"].map((call) => ({ call, tool: "search", input: "x" }))
const plan = done("Plan", { calls, approval: "it costs" })
const answered = done("CallModel", { text: "hi", inputTokens: 1, outputTokens: 1 })
const tool = (call: string) => done(`CallTool#${call}`, { outcome: "ok", output: "found" })
const approved = { name: "Approval", exit: { _tag: "Success", value: { by: "alice" } } }
const worked = [plan, answered, tool("a"), tool("b"), done("RequestApproval")]

const states: ReadonlyArray<readonly [string, ReadonlyArray<BegunActivity>, boolean, string]> = [
  ["begins", [], false, "waiting"],
  ["calls its second tool", [plan, answered, tool("a"), begun("CallTool#b")], false, "waiting"],
  ["waits for a person", worked, false, "waiting"],
  ["has its approval", worked, true, "waiting"],
  ["records its end", [...worked, done("RecordApproval"), done("RecordUsage"), begun("Complete")], true, "waiting"],
  ["is at its end", [...worked, done("RecordApproval"), done("RecordUsage"), done("Complete")], true, "completed"],
  [
    "tried the model twice",
    [plan, failed("CallModel", "model-failed", true), { ...begun("CallModel"), attempt: 2 }],
    false,
    "waiting"
  ],
  ["records its failure", [plan, failed("CallModel", "model-failed", false), begun("Fail")], false, "waiting"],
  ["failed", [plan, failed("CallModel", "model-failed", false), done("Fail")], false, "completed"],
  ["was cancelled at work", [plan, failed("CallModel", "cancelled", false)], false, "completed"]
]

it.scopedLive.each(states)("replays a run that %s, and finds nothing", ([_name, activities, approval, end]) =>
  Effect.gen(function* () {
    const execution: Execution = {
      workflow: "AgentWorkflow",
      executionId: "e1",
      shardId: "default:1",
      state: "suspended",
      diedOf: undefined,
      startedAt: 0,
      answeredAt: 0,
      payload: {
        _tag: "value",
        value: { tenantId: "acme", sessionId: "s", runId: "r", message: "hello", model: "local" }
      },
      activities,
      deferreds: approval ? [approved] : [],
      clocks: [],
      damaged: []
    }
    const replayer = yield* Replay.make(handlers)
    const replayed = yield* replayer.replay(execution, agentWorkflow)
    expect(replayRules.flatMap((rule) => rule.judge(replayed!, execution, agentWorkflow, undefined))).toEqual([])
    expect(replayed?.first.end).toBe(end)
  })
)

it.scopedLive("registers every workflow that this release declares", () =>
  Effect.gen(function* () {
    const replayer = yield* Replay.make(handlers)
    expect(declarations.filter(({ workflow }) => !replayer.registered(workflow.name))).toEqual([])
  })
)
