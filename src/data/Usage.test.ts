import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Layer, type Scope } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../test/support/migrated-database.ts"
import { pricesSetVerb, usageVerb } from "../bin/cli/usage.ts"
import { runVerb } from "../bin/cli/Verb.ts"
import { ExitCode } from "../domain/ExitCode.ts"
import { addUsd, type UsageRow } from "./Usage.ts"

interface Report {
  readonly rows: ReadonlyArray<UsageRow>
  readonly totalUsd: string
  readonly unpricedModels: ReadonlyArray<string>
}

const deliver = (database: MigratedDatabase, role: "migrator" | "reader", ...words: ReadonlyArray<string>) =>
  runVerb([usageVerb, pricesSetVerb], [...words, "--database-url", database.urlOf(role)])

const report = (database: MigratedDatabase, ...words: ReadonlyArray<string>) =>
  Effect.map(
    deliver(database, "reader", "usage", "--from", "2026-01-01", "--until", "2026-02-01", ...words),
    ({ json }) => json as Report
  )

const record = (
  database: MigratedDatabase,
  step: string,
  tenant: string,
  model: string,
  input: bigint,
  output: bigint,
  at: string
) =>
  database.query(
    `insert into agents.token_usage (tenant_id, execution_id, step, workflow, model, input_tokens, output_tokens, recorded_at)
     values ($1, 'e', $2, 'AgentWorkflow', $3, $4, $5, $6)`,
    [tenant, step, model, input, output, at]
  )

const onDatabase = <E>(test: (database: MigratedDatabase) => Effect.Effect<void, E, Scope.Scope>) =>
  Effect.flatMap(migratedDatabase, test).pipe(Effect.provide(Layer.empty))

describe("usage", () => {
  it.scopedLive("costs each call what its model cost at that moment, exactly", () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const set = (from: string, input: string, output: string) =>
          deliver(database, "migrator", "prices", "set", "m", "--from", from, "--input", input, "--output", output)
        yield* set("2026-01-01", "0.1", "0.000001")
        yield* set("2026-01-10", "0.2", "0")
        yield* record(database, "1", "acme", "m", 3n, 1n, "2026-01-09T23:59:59.999Z")
        yield* record(database, "2", "acme", "m", 3n, 1n, "2026-01-10T00:00:00Z")
        yield* record(database, "3", "acme", "m", 9_007_199_254_740_993n, 0n, "2026-01-11T00:00:00Z")
        yield* record(database, "4", "acme", "new", 5n, 5n, "2026-01-11T00:00:00Z")
        yield* record(database, "5", "globex", "m", 1n, 0n, "2026-01-11T00:00:00Z")
        const { rows, totalUsd, unpricedModels } = yield* report(database)
        expect(rows.map(({ tenantId, day, model, usd }) => [tenantId, day, model, usd])).toEqual([
          ["acme", "2026-01-09", "m", "0.000000300001"],
          ["acme", "2026-01-10", "m", "0.0000006"],
          ["acme", "2026-01-11", "m", "1801439850.9481986"],
          ["acme", "2026-01-11", "new", "0"],
          ["globex", "2026-01-11", "m", "0.0000002"]
        ])
        expect(totalUsd).toBe("1801439850.948199700001")
        expect(unpricedModels).toEqual(["new"])
        expect((yield* report(database, "--tenant", "globex")).rows).toHaveLength(1)
        // As it was written is as it stays: the same again is fine, another price is not.
        yield* set("2026-01-10", "0.20", "0")
        const refused = yield* Effect.flip(set("2026-01-10", "0.3", "0"))
        expect([refused.exitCode, (yield* report(database)).totalUsd]).toEqual([ExitCode.refused, totalUsd])
      })
    )
  )

  it.effect("refuses days and prices that are none", () =>
    Effect.gen(function* () {
      for (const words of [
        ["usage", "--from", "2026-02-30"],
        ["usage", "--from", "2026-02-03", "--until", "2026-02-03"],
        ["prices", "set", "m", "--input", "-1", "--output", "1"],
        ["prices", "set", "m", "--input", "0.1234567", "--output", "1"]
      ]) {
        expect((yield* Effect.flip(runVerb([usageVerb, pricesSetVerb], words))).exitCode).toBe(ExitCode.usage)
      }
    })
  )

  it("adds amounts without losing a place", () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt(0n, 10n ** 24n), { maxLength: 20 }), (picos) => {
        const text = (amount: bigint) => {
          const digits = amount.toString().padStart(13, "0")
          return `${digits.slice(0, -12)}.${digits.slice(-12)}`
        }
        const sum = picos.reduce((a, b) => a + b, 0n)
        return addUsd(picos.map(text)) === addUsd([text(sum)])
      })
    )
    expect(addUsd(["0.1", "0.2"])).toBe("0.3")
    expect(addUsd([])).toBe("0")
  })
})
