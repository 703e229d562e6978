/** `deliver usage`, `deliver prices`, `deliver prices set` */
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { databaseFlags, text } from "./databaseFlags.ts"
import { CliError, type Verb } from "./Verb.ts"

const load = Effect.all({
  Usage: Effect.promise(() => import("../../data/Usage.ts")),
  Support: Effect.promise(() => import("./gateSupport.ts")),
  Database: Effect.promise(() => import("../../gates/Database.ts")),
  State: Effect.promise(() => import("../../gates/migrations/State.ts"))
})

const usage = (message: string) => new CliError({ exitCode: ExitCode.usage, message })

const isDay = (value: string) =>
  /^\d{4}-\d{2}-\d{2}$/.test(value) && new Date(`${value}T00:00:00Z`).toJSON()?.slice(0, 10) === value

const day = (flag: string, given: string | undefined, otherwise: string): Effect.Effect<string, CliError> =>
  given === undefined || isDay(given)
    ? Effect.succeed(given ?? otherwise)
    : usage(`--${flag} ${given} is not a day. It looks like 2026-11-24, and is meant in UTC.`)

const daysFrom = (now: number, days: number) => new Date(now + days * 86_400_000).toISOString().slice(0, 10)

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => (/^[\d.]+$/.test(cell) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

export const usageVerb: Verb = {
  name: "usage",
  summary: "Tokens and their cost by tenant, day (UTC) and model, at the price valid when each was recorded",
  example: "deliver usage --tenant acme --from 2026-11-01 --until 2026-12-01",
  flags: {
    ...databaseFlags,
    tenant: { type: "string", value: "ID", description: "only this tenant" },
    model: { type: "string", value: "NAME", description: "only this model" },
    from: { type: "string", value: "DAY", description: "first day; else 30 days ago" },
    until: { type: "string", value: "DAY", description: "the day after the last one; else tomorrow" }
  },
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const now = Date.now()
      const from = yield* day("from", yield* text(args, "from"), daysFrom(now, -30))
      const until = yield* day("until", yield* text(args, "until"), daysFrom(now, 1))
      if (from >= until) {
        return yield* usage(`--until ${until} is not after --from ${from}: it is the day after the last one.`)
      }
      const question = { tenantId: yield* text(args, "tenant"), model: yield* text(args, "model"), from, until }
      const { Usage, Support, State } = yield* load
      const rows = yield* Support.withDatabase(args, Usage.usage(question).pipe(Effect.mapError(State.fromSqlError)))
      const total = Usage.addUsd(rows.map(({ usd }) => usd))
      const unpriced = [...new Set(rows.filter((row) => row.unpricedCalls > 0).map(({ model }) => model))]
      return {
        exitCode: ExitCode.passed,
        text:
          rows.length === 0
            ? `No usage is recorded from ${from} to before ${until}.`
            : [
                table([
                  ["TENANT", "DAY", "MODEL", "CALLS", "INPUT", "OUTPUT", "USD"],
                  ...rows.map((row) => [
                    row.tenantId,
                    row.day,
                    row.model,
                    String(row.calls),
                    String(row.inputTokens),
                    String(row.outputTokens),
                    row.unpricedCalls === 0 ? row.usd : `${row.usd} + ${row.unpricedCalls} call(s) without a price`
                  ])
                ]),
                `Total: ${total} USD`,
                ...(unpriced.length === 0
                  ? []
                  : [
                      `Without a price when they were used: ${unpriced.join(", ")}. "deliver prices set" writes one down.`
                    ])
              ].join("\n"),
        json: { from, until, rows, totalUsd: total, unpricedModels: unpriced }
      }
    })
}

export const pricesVerb: Verb = {
  name: "prices",
  summary: "What models cost, and since when",
  example: "deliver prices --json",
  flags: databaseFlags,
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { Usage, Support, State } = yield* load
      const prices = yield* Support.withDatabase(args, Usage.modelPrices.pipe(Effect.mapError(State.fromSqlError)))
      return {
        exitCode: ExitCode.passed,
        text:
          prices.length === 0
            ? 'No price is recorded. "deliver prices set" writes one down.'
            : table([
                ["MODEL", "VALID FROM", "INPUT", "OUTPUT", "(USD per million tokens)"],
                ...prices.map((price) => [
                  price.model,
                  price.validFrom,
                  price.inputUsdPerMillion,
                  price.outputUsdPerMillion,
                  price.note ?? ""
                ])
              ]),
        json: { prices }
      }
    })
}

const price = /^\d{1,12}(\.\d{1,6})?$/

export const pricesSetVerb: Verb = {
  name: "prices set",
  summary: "Write down what a model costs from a day on (UTC); a price once written is not changed",
  example:
    "deliver prices set gpt-4.1-mini --input 0.40 --output 1.60 --from 2026-12-01 --note 'price list of November'",
  flags: {
    ...databaseFlags,
    input: { type: "string", value: "USD", description: "per million input tokens, at most six places" },
    output: { type: "string", value: "USD", description: "per million output tokens" },
    from: { type: "string", value: "DAY", description: "valid from this day on; else from today" },
    note: { type: "string", value: "TEXT", description: "where the price is from" }
  },
  positionals: ["model"],
  run: (args) =>
    Effect.gen(function* () {
      const [model] = args.positionals as [string]
      const input = yield* text(args, "input")
      const output = yield* text(args, "output")
      for (const [flag, value] of [
        ["input", input],
        ["output", output]
      ] as const) {
        if (value === undefined || !price.test(value)) {
          return yield* usage(
            `--${flag} ${value ?? "is missing: it"} must be US dollars per million tokens, with at most six places: 0.40`
          )
        }
      }
      const from = yield* day("from", yield* text(args, "from"), daysFrom(Date.now(), 0))
      const note = yield* text(args, "note")
      const { Support, Database } = yield* load
      const written = yield* Support.withDatabase(
        args,
        Effect.scoped(
          Effect.flatMap(Database.Database, ({ session }) =>
            Effect.flatMap(session, (one) =>
              one.query<{ ours: boolean; there: boolean }>(
                `with given as (
                   insert into agents.model_prices
                     (model, valid_from, input_usd_per_million, output_usd_per_million, note)
                   values ($1, ($2::date)::timestamp at time zone 'utc', $3, $4, $5)
                   on conflict (model, valid_from) do nothing returning 1
                 )
                 select exists (select from given) as ours, exists (
                   select from agents.model_prices where model = $1
                     and valid_from = ($2::date)::timestamp at time zone 'utc'
                     and input_usd_per_million = $3::numeric and output_usd_per_million = $4::numeric) as there`,
                [model, from, input, output, note ?? null]
              )
            )
          )
        )
      )
      if (written[0]?.ours !== true && written[0]?.there !== true) {
        return yield* new CliError({
          exitCode: ExitCode.refused,
          message: `${model} has another price from ${from} on. A price once written is not changed, since reports were made with it: write one that is valid from a later day. "deliver prices" lists them.`
        })
      }
      return {
        exitCode: ExitCode.passed,
        text: `${model}: ${input} USD per million input tokens, ${output} per million output tokens, from ${from} on.`,
        json: { model, from, inputUsdPerMillion: input, outputUsdPerMillion: output }
      }
    })
}
