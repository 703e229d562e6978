/**
 * What the steps of a run do. Each may run more than once, on two runners even: a killed or frozen runner, or a database
 * that was away, makes it so. Hence every step first looks at what an earlier run of it wrote, and writes under fixed keys.
 */
import { Activity } from "@effect/workflow"
import { Effect, Stream } from "effect"
import type { Event } from "../domain/Event.ts"
import {
  type Entry,
  EventLog,
  type EventLogUnavailable,
  FINAL_STEP,
  type RunKey,
  type Usage
} from "../domain/EventLog.ts"
import {
  type AgentWorkflowPayload,
  type Answer,
  type PlannedCall,
  StepFailed,
  type ToolOutcome
} from "./AgentWorkflow.ts"
import { Model, type ModelError, type ModelRequest } from "./model/Model.ts"
import { Tools } from "./tools/Tools.ts"

/** The tokens of one row: few rows, and still a first token without a wait. */
const TOKENS_PER_ROW = 16
const ROW_EVERY = "100 millis"

export const APPROVAL_STEP = "approval"

const unavailable = (error: EventLogUnavailable) =>
  new StepFailed({ code: "internal", message: error.message, retryable: true })

const modelFailed = (error: ModelError) =>
  new StepFailed({ code: "model-failed", message: error.message, retryable: error.retryable })

/** Appends, and ends the step when the run has ended meanwhile: somebody cancelled it. */
const write = (run: RunKey, entries: ReadonlyArray<Entry>) =>
  EventLog.pipe(
    Effect.flatMap((log) => log.append(run, entries)),
    Effect.mapError(unavailable),
    Effect.filterOrFail(
      ({ open }) => open,
      () => new StepFailed({ code: "cancelled", message: "The run was cancelled.", retryable: false })
    ),
    Effect.map(({ written }) => written)
  )

/** The run's last event. That there is one already is as good: this step ran before, or the run was cancelled. */
export const end = (run: RunKey, event: Event) =>
  EventLog.pipe(
    Effect.flatMap((log) => log.append(run, [{ step: FINAL_STEP, sequence: 0, event }])),
    Effect.mapError(unavailable),
    Effect.asVoid
  )

const request = (run: RunKey, { message, model }: AgentWorkflowPayload, step: string, written = ""): ModelRequest => ({
  tenantId: run.tenantId,
  model,
  message,
  written,
  idempotencyKey: `${run.executionId}/${step}`
})

/** A provider's tokens for it count as well. A model that says nothing of them has used none. */
export const plan = Effect.fn("step.plan")(function* (run: RunKey, payload: AgentWorkflowPayload) {
  const log = yield* EventLog
  const model = yield* Model
  let used: Usage | undefined
  const made = yield* model
    .plan({ ...request(run, payload, "plan"), onUsed: (all) => (used = all) })
    .pipe(Effect.mapError(modelFailed))
  if (used !== undefined) yield* Effect.mapError(log.recordUsage(run, { step: "plan", ...used }), unavailable)
  return made
})

/**
 * Streams the answer into rows. A second run of this step asks the model again, with the same idempotency key, and goes on
 * where the written rows end.
 *
 * Two runs of it may also be at work at once: a runner that was frozen wakes up and goes on, while its successor has long
 * taken over. Each cuts its rows as its tokens come, so the row's number alone does not keep their texts apart. What does:
 * a row is written only by who knows all rows before it. Whoever finds its number taken looks again how far the text is.
 */
export const callModel = Effect.fn("step.callModel")(function* (
  run: RunKey,
  payload: AgentWorkflowPayload,
  step = "model"
) {
  const log = yield* EventLog
  const model = yield* Model
  const attempt = yield* Activity.CurrentAttempt
  const written = log.ofStep(run.executionId, step).pipe(
    Effect.mapError(unavailable),
    Effect.map((rows) => {
      const text = rows.map(({ event }) => (event._tag === "Token" ? event.text : "")).join("")
      return { rows: rows.length, length: text.length, text }
    })
  )
  let text = ""
  let answering = payload.model
  const before = yield* written
  let known: { readonly rows: number; readonly length: number } = before

  const flush: Effect.Effect<void, StepFailed, EventLog> = Effect.gen(function* () {
    while (text.length > known.length) {
      const end = text.length
      const entry: Entry = { step, sequence: known.rows, event: { _tag: "Token", text: text.slice(known.length, end) } }
      known = (yield* write(run, [entry])) > 0 ? { rows: known.rows + 1, length: end } : yield* written
    }
  })
  const asked = request(run, payload, step, before.text)
  let billed: Usage | undefined
  // More than the rows hold when it breaks off: what is gathered for a row is lost then.
  let received = ""
  const tokens = model
    .answer({ ...asked, onAnswering: (name) => (answering = name), onUsed: (all) => (billed = all) }, attempt)
    .pipe(
      Stream.tap((token) => Effect.sync(() => (received += token))),
      Stream.mapError(modelFailed)
    )
  // The provider counts this attempt; what earlier ones wrote is counted by length.
  const used = () => ({
    inputTokens: billed?.inputTokens ?? model.countTokens(payload.message),
    outputTokens:
      billed === undefined ? model.countTokens(received) : model.countTokens(before.text) + billed.outputTokens
  })
  // In this step and not at the run's end, which a run that fails or is cancelled does not reach: its tenant has spent it.
  const account = Effect.suspend(() => log.recordUsage(run, { step, model: answering, ...used() })).pipe(
    Effect.mapError(unavailable)
  )
  yield* Stream.runForEach(Stream.groupedWithin(tokens, TOKENS_PER_ROW, ROW_EVERY), (row) => {
    text += [...row].join("")
    return flush
  }).pipe(
    // As far as it came. Another attempt that gets further replaces it.
    Effect.tapError(({ code }) =>
      received === ""
        ? Effect.void
        : code === "cancelled"
          ? account
          : Effect.catchAll(account, (error) => Effect.logWarning("A part of an answer was not accounted for", error))
    )
  )
  yield* account
  return { text, ...used() } satisfies Answer
})

/**
 * Of a run that was cancelled, by what clients have seen: the runner that asked for its answers may be gone, and the answer's
 * own step is not carried on. What that step recorded itself stays, unless it got less far.
 */
export const accountForSeen = Effect.fn("step.accountForSeen")(function* (run: RunKey, payload: AgentWorkflowPayload) {
  const log = yield* EventLog
  const model = yield* Model
  for (const step of ["model", "follow-up"]) {
    const rows = yield* Effect.mapError(log.ofStep(run.executionId, step), unavailable)
    const text = rows.map(({ event }) => (event._tag === "Token" ? event.text : "")).join("")
    if (text === "") continue
    const used = { inputTokens: model.countTokens(payload.message), outputTokens: model.countTokens(text) }
    yield* Effect.mapError(log.recordUsage(run, { step, model: payload.model, ...used }), unavailable)
  }
})

/** A tool may have effects elsewhere, so it is not called again when its result is known. */
export const callTool = Effect.fn("step.callTool")(function* (run: RunKey, call: PlannedCall) {
  const step = `tool:${call.call}`
  const log = yield* EventLog
  const tools = yield* Tools
  const written = yield* log.ofStep(run.executionId, step).pipe(Effect.mapError(unavailable))
  const known = written.map(({ event }) => event).find((event) => event._tag === "ToolResult")
  if (known !== undefined) return { outcome: known.outcome, output: known.output } satisfies ToolOutcome

  yield* write(run, [{ step, sequence: 0, event: { _tag: "ToolCall", ...call } }])
  const result = yield* tools.call(run, call, `${run.executionId}/${step}`)
  yield* write(run, [{ step, sequence: 1, event: { _tag: "ToolResult", call: call.call, tool: call.tool, ...result } }])
  return result
})

/**
 * Takes a tool's call back, in a run that fails. The run's last event comes after these, but a runner of the release before,
 * which undoes nothing, may have written it already: what was done is taken back all the same, and told no more.
 */
export const undoTool = Effect.fn("step.undoTool")(function* (run: RunKey, call: PlannedCall, output: string) {
  const step = `undo:${call.call}`
  const log = yield* EventLog
  const undo = (yield* Tools).undo(run, call, output, `${run.executionId}/${step}`)
  if (undo === undefined) return
  const known = yield* log.ofStep(run.executionId, step).pipe(Effect.mapError(unavailable))
  if (known.some(({ event }) => event._tag === "ToolResult")) return

  const tell = (sequence: number, event: Event) =>
    log.append(run, [{ step, sequence, event }]).pipe(Effect.mapError(unavailable))
  yield* tell(0, { _tag: "ToolCall", call: step, tool: call.tool, input: call.input })
  const { outcome, output: said } = yield* undo
  if (outcome !== "ok") return yield* new StepFailed({ code: "tool-failed", message: said, retryable: true })
  yield* tell(1, { _tag: "ToolResult", call: step, tool: call.tool, outcome, output: said })
})

export const requestApproval = (run: RunKey, reason: string) =>
  Effect.asVoid(write(run, [{ step: APPROVAL_STEP, sequence: 0, event: { _tag: "ApprovalRequested", reason } }]))

export const recordApproval = (run: RunKey, by: string) =>
  Effect.asVoid(write(run, [{ step: APPROVAL_STEP, sequence: 1, event: { _tag: "Approved", by } }]))

/** Each answer was accounted for in its own step. This is for those that a release gave which did it here alone. */
export const recordUsage = (run: RunKey, model: string, { inputTokens, outputTokens }: Answer) =>
  EventLog.pipe(
    Effect.flatMap((log) => log.settleUsage(run, { model, inputTokens, outputTokens })),
    Effect.mapError(unavailable)
  )
