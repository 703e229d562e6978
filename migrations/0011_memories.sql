-- phase: expand
-- Up Migration

-- What a tenant's runs are to know later. Written by the tool "remember", found by "recall"; gone when it is forgotten, when the
-- run that wrote it fails, or with the tenant.
create table agents.memories (
  tenant_id text not null,
  memory_id bigint generated always as identity,
  -- The run's, which must be open when this is written: nothing comes after the removal of a tenant.
  execution_id text not null,
  -- Of the call: a step that runs twice writes once.
  idempotency_key text not null,
  body text not null check (length(body) between 1 and 1024),
  -- English takes endings and stop words away; words of other languages are found as they were written, or nearly so.
  words tsvector not null generated always as (to_tsvector('english'::regconfig, body)) stored,
  created_at timestamptz not null default now(),
  primary key (tenant_id, memory_id),
  unique (tenant_id, idempotency_key)
);
create index memories_words on agents.memories using gin (words);

grant select, insert, delete on agents.memories to runtime;
