-- phase: expand
-- Up Migration

-- How long what is kept for a tenant: by tier, so that a promise is changed in one row.
create table agents.retention_tiers (
  tier text primary key,
  -- How long the engine's rows of a finished execution stay: the window in which a start that is sent again finds its result
  -- there. Runs are known by agents.runs for longer.
  engine_hours bigint not null check (engine_hours > 0)
);

insert into agents.retention_tiers (tier, engine_hours) values ('standard', 24), ('enterprise', 168);

-- A tenant that is not here is on the tier "standard".
create table agents.tenant_tiers (
  tenant_id text primary key,
  tier text not null references agents.retention_tiers (tier),
  updated_at timestamptz not null default now()
);

-- Who took a poisoned reply back, and why. The reply itself is kept: it is the only trace of what went wrong.
create table agents.engine_repairs (
  repair_id bigint generated always as identity primary key,
  workflow text not null,
  execution_id text not null,
  message_id bigint not null,
  tag text not null,
  reply text not null,
  repaired_by text not null,
  why text not null,
  repaired_at timestamptz not null default now()
);
create index engine_repairs_by_execution on agents.engine_repairs (execution_id, repaired_at);

grant select on agents.retention_tiers, agents.tenant_tiers to runtime, reader, drill;
grant select on agents.engine_repairs to reader;
