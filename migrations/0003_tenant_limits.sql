-- phase: expand
-- Up Migration

-- What one tenant may do where it differs from what the gateways' configuration gives to all. An empty field is the default.
-- Gateways read a row again within some seconds, so a change here needs no rollout.
create table agents.tenant_limits (
  tenant_id text primary key,
  -- Requests of all users of the tenant together, per gateway.
  requests_per_second double precision check (requests_per_second > 0),
  -- Runs that are open at the same time, those that wait for a person included. 0 stops new runs.
  open_runs bigint check (open_runs >= 0),
  -- Input and output tokens a day, from midnight UTC.
  tokens_per_day bigint check (tokens_per_day >= 0),
  -- Why, and who asked for it.
  note text,
  updated_at timestamptz not null default now()
);

grant select on agents.tenant_limits to runtime, reader, drill;
