/** The SQL of admission: what is under way, and what a tenant may do and has spent. */
import { Schema } from "effect"
import * as Statement from "../domain/Statement.ts"

const BigIntColumn = Schema.NumberFromString

/** One row, whether the tenant has limits of its own or not. */
export const tenantAllowance = Statement.make<[tenantId: string]>()({
  name: "admission.allowance",
  text: `
select l.requests_per_second as "requestsPerSecond", l.open_runs as "openRuns", l.tokens_per_day as "tokensPerDay",
  (
    select coalesce(sum(u.input_tokens + u.output_tokens), 0)::bigint
    from agents.token_usage u
    where u.tenant_id = $1 and u.recorded_at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc'
  ) as "tokensToday"
from (select) as one left join agents.tenant_limits l on l.tenant_id = $1`,
  row: Schema.Struct({
    requestsPerSecond: Schema.NullOr(Schema.Number),
    openRuns: Schema.NullOr(BigIntColumn),
    tokensPerDay: Schema.NullOr(BigIntColumn),
    tokensToday: BigIntColumn
  })
})

/** Reads the partial index of open runs, no further than the limit that is asked about. */
export const tenantLoad = Statement.make<[tenantId: string, runId: string, starting: string, atMost: number]>()({
  name: "admission.tenant",
  text: `
select
  (
    select count(*)::int from (
      select from agents.runs r
      where r.tenant_id = $1 and r.finished_at is null
        and not exists (select from jsonb_array_elements_text($3::jsonb) s (run_id) where s.run_id = r.run_id)
      limit $4
    ) as counted
  ) as open,
  exists (select from agents.runs r where r.tenant_id = $1 and r.run_id = $2) as known`,
  row: Schema.Struct({ open: Schema.Int, known: Schema.Boolean })
})

export const working = Statement.make<[atMost: number]>()({
  name: "admission.working",
  text: `
select count(*)::int as working from (
  select from agents.runs r where r.finished_at is null and r.status = 'accepted' limit $1
) as counted`,
  row: Schema.Struct({ working: Schema.Int })
})
