/** The SQL of costs: what Postgres answers BigQuery, and how a day's bill is shared out among tenants. */

/** Asked of the database by BigQuery: tokens and their price, by tenant, day (UTC) and model. Money as text: BigQuery would round. */
export const usageByDay = `
with prices as (
  select model, valid_from, input_usd_per_million, output_usd_per_million,
    coalesce(lead(valid_from) over (partition by model order by valid_from), 'infinity') as valid_until
  from agents.model_prices
)
select u.tenant_id, (u.recorded_at at time zone 'utc')::date as day, u.model,
  sum(u.input_tokens)::bigint as input_tokens, sum(u.output_tokens)::bigint as output_tokens,
  coalesce(sum((u.input_tokens * p.input_usd_per_million + u.output_tokens * p.output_usd_per_million) * 0.000001), 0)::text as usd
from agents.token_usage u
left join prices p on p.model = u.model and u.recorded_at >= p.valid_from and u.recorded_at < p.valid_until
group by 1, 2, 3`

/**
 * A day's bill, shared out by tokens; a day that nobody used is nobody's, so that the sum is always the bill's. In words that BigQuery and
 * Postgres both understand: tests ask the one that is at hand. Expects `billing(day, usd)` and `token_usage(day, tenant_id, …)`.
 */
export const shareOut = (billing: string, usage: string): string => `
with tenants as (
  select day, tenant_id, sum(input_tokens + output_tokens) as tokens, sum(usd) as model_usd from ${usage} group by day, tenant_id
),
days as (
  select day, sum(tokens) as tokens, count(*) as tenants from tenants group by day
),
shares as (
  select t.day, t.tenant_id, t.tokens, t.model_usd,
    case when d.tokens > 0 then cast(t.tokens as numeric) / cast(d.tokens as numeric) else cast(1 as numeric) / d.tenants end as share
  from tenants t join days d on d.day = t.day
)
select coalesce(s.day, b.day) as day, coalesce(s.tenant_id, '(nobody)') as tenant_id, coalesce(s.tokens, 0) as tokens,
  coalesce(s.model_usd, 0) as model_usd, coalesce(cast(b.usd as numeric), 0) * coalesce(s.share, 1) as platform_usd
from shares s full outer join ${billing} b on b.day = s.day`

/** One project's days in Google's export, credits taken off. */
export const billingByDay = (table: string, project: string): string => `(
  select date(usage_start_time) as day,
    cast(sum(cost + ifnull((select sum(credit.amount) from unnest(credits) credit), 0)) as numeric) as usd
  from \`${table}\` where project.id = '${project}' group by 1
)`
