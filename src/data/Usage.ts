/**
 * What tokens cost: each recorded usage at the price that its model had when it was recorded.
 *
 * Sums are made by Postgres in `numeric` and arrive as text: an amount of money never passes through a binary fraction.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { type Effect, Schema } from "effect"
import * as Statement from "../domain/Statement.ts"

/** One tenant's use of one model on one day (UTC). */
export const UsageRow = Schema.Struct({
  tenantId: Schema.String,
  /** `YYYY-MM-DD` */
  day: Schema.String,
  model: Schema.String,
  calls: Schema.NumberFromString,
  inputTokens: Schema.NumberFromString,
  outputTokens: Schema.NumberFromString,
  /** US dollars as a decimal text with all its places, of the calls that had a price. */
  usd: Schema.String,
  /** Calls recorded when their model had no price: their cost is not in `usd`. */
  unpricedCalls: Schema.NumberFromString
})
export type UsageRow = typeof UsageRow.Type

const prices = `
prices as (
  select model, valid_from, input_usd_per_million, output_usd_per_million,
    coalesce(lead(valid_from) over (partition by model order by valid_from), 'infinity') as valid_until
  from agents.model_prices
)`

// times 0.000001 and not divided by 1000000: a product of numerics is exact, a quotient is rounded.
const report = Statement.make<[tenantId: string | null, model: string | null, from: string, until: string]>()({
  name: "token_usage.report",
  text: `
with ${prices.trim()}
select u.tenant_id as "tenantId", to_char(u.recorded_at at time zone 'utc', 'YYYY-MM-DD') as day, u.model,
  count(*) as calls, sum(u.input_tokens)::text as "inputTokens", sum(u.output_tokens)::text as "outputTokens",
  trim_scale(coalesce(sum(
    (u.input_tokens * p.input_usd_per_million + u.output_tokens * p.output_usd_per_million) * 0.000001
  ), 0))::text as usd,
  count(*) filter (where p.model is null) as "unpricedCalls"
from agents.token_usage u
left join prices p on p.model = u.model and u.recorded_at >= p.valid_from and u.recorded_at < p.valid_until
where ($1::text is null or u.tenant_id = $1) and ($2::text is null or u.model = $2)
  and u.recorded_at >= ($3::date)::timestamp at time zone 'utc'
  and u.recorded_at < ($4::date)::timestamp at time zone 'utc'
group by 1, 2, 3
order by 1, 2, 3`,
  row: UsageRow
})

export interface Question {
  readonly tenantId?: string | undefined
  readonly model?: string | undefined
  /** First day, and the day after the last one; UTC, `YYYY-MM-DD`. */
  readonly from: string
  readonly until: string
}

export const usage = ({
  tenantId,
  model,
  from,
  until
}: Question): Effect.Effect<ReadonlyArray<UsageRow>, SqlError.SqlError, SqlClient.SqlClient> =>
  report.run(tenantId ?? null, model ?? null, from, until)

/** Adds decimal texts exactly. */
export const addUsd = (amounts: ReadonlyArray<string>): string => {
  const PLACES = 18
  const total = amounts.reduce((sum, amount) => {
    const [whole = "0", fraction = ""] = amount.split(".")
    return sum + BigInt(whole + fraction.padEnd(PLACES, "0"))
  }, 0n)
  const digits = total.toString().padStart(PLACES + 1, "0")
  const fraction = digits.slice(-PLACES).replace(/0+$/, "")
  return digits.slice(0, -PLACES) + (fraction === "" ? "" : `.${fraction}`)
}

const listPrices = Statement.make<[]>()({
  name: "model_prices.list",
  text: `
select model, to_char(valid_from at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as "validFrom",
  trim_scale(input_usd_per_million)::text as "inputUsdPerMillion",
  trim_scale(output_usd_per_million)::text as "outputUsdPerMillion", note
from agents.model_prices order by model, valid_from`,
  row: Schema.Struct({
    model: Schema.String,
    validFrom: Schema.String,
    inputUsdPerMillion: Schema.String,
    outputUsdPerMillion: Schema.String,
    note: Schema.NullOr(Schema.String)
  })
})

export const modelPrices = listPrices.run()
