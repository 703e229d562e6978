import { expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { TenantId } from "../../domain/Ids.ts"
import { Memory } from "../../domain/Memory.ts"
import { limits } from "./Policy.ts"
import { layer, Tools } from "./Tools.ts"

const call = (tool: string, input = "") =>
  Effect.flatMap(Tools, (tools) =>
    tools.call({ tenantId: TenantId.make("acme"), executionId: "x" }, { call: "1", tool, input }, "k")
  ).pipe(
    Effect.provide(layer),
    Effect.provideService(Memory, {
      remember: () => Effect.dieMessage("not asked for"),
      recall: () => Effect.dieMessage("not asked for"),
      forget: () => Effect.dieMessage("not asked for")
    })
  )

it.effect("answers what a tool makes of its input", () =>
  Effect.gen(function* () {
    expect(yield* call("add", "1+2+39")).toEqual({ outcome: "ok", output: "42" })
    expect(yield* call("echo", "hello")).toEqual({ outcome: "ok", output: "hello" })
  })
)

it.effect("refuses what the policy does not allow, names from the prototype included", () =>
  Effect.gen(function* () {
    for (const tool of ["unknown", "toString", "__proto__", "constructor"]) {
      expect((yield* call(tool)).outcome).toBe("refused")
    }
    expect((yield* call("echo", "x".repeat(limits.maxInputLength + 1))).outcome).toBe("refused")
  })
)

it.effect("makes a tool's failure an outcome", () =>
  Effect.gen(function* () {
    expect((yield* call("broken")).outcome).toBe("failed")
    expect((yield* call("add", "one")).outcome).toBe("failed")
  })
)

it.effect("stops a tool that takes too long", () =>
  Effect.gen(function* () {
    const slow = yield* Effect.fork(call("wait", "60000"))
    yield* TestClock.adjust(limits.timeoutMillis)
    expect((yield* Fiber.join(slow)).outcome).toBe("failed")
  })
)
