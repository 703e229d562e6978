-- phase: expand
-- Up Migration

-- The roles migrator, runtime, reader and drill are made by the platform before the first migration: a migration that meets
-- a database without them fails here, rather than leaving a schema that nobody may use.
create schema if not exists agents;
create schema if not exists cluster;
grant usage on schema agents, cluster to runtime, reader, drill;

-- One row a session. Its lock orders the session's events: see events.event_id.
create table agents.sessions (
  tenant_id text not null,
  session_id text not null,
  last_event_id bigint not null default 0,
  created_at timestamptz not null default now(),
  primary key (tenant_id, session_id)
);

create table agents.runs (
  tenant_id text not null,
  run_id text not null,
  session_id text not null,
  execution_id text not null unique,
  workflow text not null,
  status text not null check (status in ('accepted', 'waiting', 'completed', 'failed', 'cancelled')),
  -- The commit that accepted the run.
  release text not null,
  -- The pod that wrote the run's latest event: whom to kill in a drill, and where to look for its logs.
  runner text,
  accepted_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (tenant_id, run_id),
  foreign key (tenant_id, session_id) references agents.sessions (tenant_id, session_id)
);
create index runs_by_session on agents.runs (tenant_id, session_id, accepted_at);
-- What is still open is a few rows among very many finished ones.
create index runs_open on agents.runs (tenant_id, accepted_at) where finished_at is null;

-- event_id is a counter per session, taken from sessions.last_event_id under that row's lock and in the same statement as
-- the insert. So commit order is id order, and "everything after id N" never misses a row that commits late.
-- (execution_id, step, sequence) makes an activity that runs twice write once.
create table agents.events (
  tenant_id text not null,
  session_id text not null,
  event_id bigint not null,
  run_id text not null,
  execution_id text not null,
  step text not null,
  -- Counts the events of one step: never near 2^31.
  -- squawk-ignore prefer-bigint-over-int
  sequence integer not null,
  type text not null,
  payload jsonb not null,
  -- The commit that wrote the event.
  release text not null,
  occurred_at timestamptz not null default now(),
  primary key (tenant_id, session_id, event_id),
  unique (execution_id, step, sequence),
  foreign key (tenant_id, session_id) references agents.sessions (tenant_id, session_id)
);
create index events_by_run on agents.events (tenant_id, run_id, event_id);

create table agents.token_usage (
  tenant_id text not null,
  execution_id text not null,
  step text not null,
  workflow text not null,
  model text not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  recorded_at timestamptz not null default now(),
  primary key (execution_id, step)
);
create index token_usage_by_tenant on agents.token_usage (tenant_id, recorded_at);

-- What each live runner carries (workflows, activities, deferreds, entities). A runner deletes its row when it stops and
-- renews seen_at while it lives: a row not seen for a while belongs to a runner that was killed.
create table agents.runners (
  runner text primary key,
  release text not null,
  carries jsonb not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);

-- Includes node-pg-migrate's own table: readiness compares it with the migrations that the release needs.
grant select on all tables in schema agents to runtime, reader, drill;
grant insert, update on agents.sessions, agents.runs to runtime;
grant insert on agents.events, agents.token_usage to runtime;
grant insert, update, delete on agents.runners to runtime;
alter default privileges in schema agents grant select on tables to reader;

-- The cluster's own tables are made later by the library's migrators, run by the same role as this file. The default
-- privileges give them to the runtime role, so that runners own nothing and need no DDL right at all.
alter default privileges in schema cluster grant select, insert, update, delete on tables to runtime;
alter default privileges in schema cluster grant usage, select on sequences to runtime;
alter default privileges in schema cluster grant select on tables to reader, drill;
