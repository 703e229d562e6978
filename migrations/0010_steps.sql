-- phase: expand
-- Up Migration

-- What the steps (activities) of executions ended with, written by the runtime's journal. The engine's own tables hold the
-- rest of an execution, and the steps of those that ran without the journal.
create table agents.steps (
  execution_id text not null,
  name text not null,
  attempt bigint not null,
  -- The encoded exit, as JSON. As text, like the engine's replies: a reader can then say what is wrong with a damaged one.
  exit text not null,
  -- The release that wrote it, and a digest of the schemas with which it encoded.
  release text not null,
  fingerprint text not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  primary key (execution_id, name, attempt)
);

-- Grows each time a runner takes a shard. Who writes a step says under which number it took the shard: a runner that lost it
-- meanwhile, and does not know yet, is refused by the statement itself.
create table agents.shard_epochs (
  shard_id text primary key,
  epoch bigint not null,
  runner text not null,
  taken_at timestamptz not null default now()
);

grant select, insert, delete on agents.steps to runtime;
grant select, insert, update on agents.shard_epochs to runtime;
grant select on agents.steps, agents.shard_epochs to drill;
