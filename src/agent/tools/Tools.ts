/**
 * The tools that an agent may call, each behind the same policy. What goes wrong in a tool is an outcome that the run
 * records and goes on with; only a broken runner is a failure.
 */
import { Context, Effect, Layer, Metric } from "effect"
import type { TenantId } from "../../domain/Ids.ts"
import type { Memory } from "../../domain/Memory.ts"
import { toolCalls } from "../../domain/Metrics.ts"
import type { PlannedCall, ToolOutcome } from "../AgentWorkflow.ts"
import { calculate } from "./Calculate.ts"
import { httpGet } from "./HttpGet.ts"
import { allowanceOf, limits, type Policies, ToolPolicies } from "./Policy.ts"
import { recall, remember } from "./Remember.ts"
import type { Tool, ToolCall, ToolCaller, ToolSpec } from "./Tool.ts"
import * as Web from "./Web.ts"

const simple = (name: string, description: string, input: string, run: Tool<never>["run"]): Tool<never> => ({
  name,
  description,
  input,
  run
})

const builtIn: ReadonlyArray<Tool<Web.Web | Memory>> = [
  simple("echo", "Gives its input back.", "Anything", (input) => Effect.succeed(input)),
  simple("add", "Adds whole numbers.", "A sum, for example 1+2+3", (input) => {
    const numbers = input.split("+").map(Number)
    return numbers.every(Number.isSafeInteger)
      ? Effect.succeed(String(numbers.reduce((sum, number) => sum + number, 0)))
      : Effect.fail(`"${input}" is not a sum of whole numbers`)
  }),
  simple("wait", "Takes its time.", "A number of milliseconds", (input) =>
    /^\d{1,5}$/.test(input)
      ? Effect.as(Effect.sleep(Number(input)), `waited ${input} ms`)
      : Effect.fail(`"${input}" is not a number of milliseconds`)
  ),
  simple("broken", "Always fails.", "Anything", () => Effect.fail("This tool always fails.")),
  {
    ...simple("hold", "Holds a place.", "A name for the place", (input) => Effect.succeed(`holding ${input}`)),
    undo: (input) => Effect.succeed(`let go of ${input}`)
  },
  calculate,
  httpGet,
  remember,
  recall
]

/** For tests and drills of this system, and of no use to a model. */
const ours = ["echo", "add", "wait", "broken", "hold"]

/** What a model is told of: what the tenant may use. */
export const specsOf = (policies: Policies, tenantId: TenantId | undefined): ReadonlyArray<ToolSpec> => {
  const { tools } = allowanceOf(policies, tenantId)
  return builtIn.filter(({ name }) => tools.includes(name) && !ours.includes(name))
}

const notFor = (tool: string) => `The tool "${tool}" is not among those that this tenant may use.`

/** C0 and C1 but for tab and line feed: in an argument they only serve to look like something else. */
const hasControls = (input: string): boolean => /[^\P{Cc}\t\n]/u.test(input)

/** The tool, or why it is refused. */
const admit = (policies: Policies, tenantId: TenantId, { tool, input }: PlannedCall, call: ToolCall) => {
  const known = builtIn.find(({ name }) => name === tool)
  if (known === undefined || !allowanceOf(policies, tenantId).tools.includes(tool)) return notFor(tool)
  if (input.length > limits.maxInputLength) return `The input is longer than ${limits.maxInputLength} characters.`
  if (hasControls(input)) return "The input holds control characters."
  return known.refuses?.(input, call) ?? known
}

export class Tools extends Context.Tag("agent/Tools")<
  Tools,
  {
    readonly call: (run: ToolCaller, call: PlannedCall, idempotencyKey: string) => Effect.Effect<ToolOutcome>
    /**
     * Takes back what a call did that answered `output`; undefined for a tool whose calls leave nothing to take back. The
     * policy is not asked: it let the call in, and one that is tightened since must not keep what was done.
     */
    readonly undo: (
      run: ToolCaller,
      call: PlannedCall,
      output: string,
      idempotencyKey: string
    ) => Effect.Effect<ToolOutcome> | undefined
  }
>() {}

const make = Effect.gen(function* () {
  const policies = yield* ToolPolicies
  const context = yield* Effect.context<Web.Web | Memory>()

  const callOf = (run: ToolCaller, idempotencyKey: string): ToolCall => ({
    run,
    idempotencyKey,
    hosts: allowanceOf(policies, run.tenantId).hosts
  })

  const call = (run: ToolCaller, planned: PlannedCall, idempotencyKey: string): Effect.Effect<ToolOutcome> => {
    const toolCall = callOf(run, idempotencyKey)
    const tool = admit(policies, run.tenantId, planned, toolCall)
    if (typeof tool === "string") return Effect.succeed({ outcome: "refused", output: tool })
    return bounded(tool.run(planned.input, toolCall))
  }

  const bounded = (work: Effect.Effect<string, string, Web.Web | Memory>): Effect.Effect<ToolOutcome> =>
    work.pipe(
      Effect.timeoutFail({
        duration: limits.timeoutMillis,
        onTimeout: () => `The tool did not answer within ${limits.timeoutMillis} ms.`
      }),
      Effect.match({
        onFailure: (output): ToolOutcome => ({ outcome: "failed", output: output.slice(0, limits.maxOutputLength) }),
        onSuccess: (output): ToolOutcome =>
          output.length > limits.maxOutputLength
            ? { outcome: "failed", output: `The output is longer than ${limits.maxOutputLength} characters.` }
            : { outcome: "ok", output }
      }),
      Effect.provide(context)
    )

  return Tools.of({
    call: (run, planned, idempotencyKey) =>
      call(run, planned, idempotencyKey).pipe(
        Effect.tap(({ outcome }) => {
          // A model makes names up: only ours are labels.
          const name = builtIn.some((tool) => tool.name === planned.tool) ? planned.tool : "unknown"
          return Metric.increment(Metric.tagged(Metric.tagged(toolCalls, "tool", name), "outcome", outcome))
        }),
        Effect.withSpan("tool.call", { captureStackTrace: false })
      ),
    undo: (run, planned, output, idempotencyKey) => {
      const undo = builtIn.find(({ name }) => name === planned.tool)?.undo
      return undo === undefined
        ? undefined
        : Effect.withSpan(bounded(undo(planned.input, output, callOf(run, idempotencyKey))), "tool.undo", {
            captureStackTrace: false
          })
    }
  })
})

/** Over any way to the web, for tests. */
export const layerOver: Layer.Layer<Tools, never, Web.Web | Memory> = Layer.effect(Tools, make)

export const layer: Layer.Layer<Tools, never, Memory> = layerOver.pipe(Layer.provide(Web.layer()))
