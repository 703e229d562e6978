/**
 * The tools that an agent may call, each behind the same policy. What goes wrong in a tool is an outcome that the run
 * records and goes on with; only a broken runner is a failure.
 */
import { Context, Effect, Layer } from "effect"
import type { TenantId } from "../../domain/Ids.ts"
import type { PlannedCall, ToolOutcome } from "../AgentWorkflow.ts"

type Tool = (input: string) => Effect.Effect<string, string>

const builtIn: Readonly<Record<string, Tool>> = {
  /** Gives its input back. */
  echo: (input) => Effect.succeed(input),
  /** Adds whole numbers: `1+2+3`. */
  add: (input) => {
    const numbers = input.split("+").map(Number)
    return numbers.every(Number.isSafeInteger)
      ? Effect.succeed(String(numbers.reduce((sum, number) => sum + number, 0)))
      : Effect.fail(`"${input}" is not a sum of whole numbers`)
  },
  /** Takes its time: the input is a number of milliseconds. */
  wait: (input) =>
    /^\d{1,5}$/.test(input)
      ? Effect.as(Effect.sleep(Number(input)), `waited ${input} ms`)
      : Effect.fail(`"${input}" is not a number of milliseconds`),
  /** Always fails. */
  broken: () => Effect.fail("This tool always fails.")
}

/** What holds for every call. */
export const policy = {
  maxInputLength: 1_024,
  maxOutputLength: 4_096,
  timeoutMillis: 10_000,
  allowed: (_tenantId: TenantId, tool: string): boolean => Object.hasOwn(builtIn, tool)
} as const

const refusal = (tenantId: TenantId, { tool, input }: PlannedCall): string | undefined => {
  if (!policy.allowed(tenantId, tool)) return `The tool "${tool}" is not among those that this tenant may use.`
  if (input.length > policy.maxInputLength) return `The input is longer than ${policy.maxInputLength} characters.`
  return undefined
}

export class Tools extends Context.Tag("agent/Tools")<
  Tools,
  { readonly call: (tenantId: TenantId, call: PlannedCall, idempotencyKey: string) => Effect.Effect<ToolOutcome> }
>() {}

export const layer: Layer.Layer<Tools> = Layer.succeed(Tools, {
  call: (tenantId, call) => {
    const refused = refusal(tenantId, call)
    if (refused !== undefined) return Effect.succeed({ outcome: "refused", output: refused })
    return (builtIn[call.tool] as Tool)(call.input).pipe(
      Effect.timeoutFail({
        duration: policy.timeoutMillis,
        onTimeout: () => `The tool did not answer within ${policy.timeoutMillis} ms.`
      }),
      Effect.match({
        onFailure: (output): ToolOutcome => ({ outcome: "failed", output: output.slice(0, policy.maxOutputLength) }),
        onSuccess: (output): ToolOutcome =>
          output.length > policy.maxOutputLength
            ? { outcome: "failed", output: `The output is longer than ${policy.maxOutputLength} characters.` }
            : { outcome: "ok", output }
      })
    )
  }
})
