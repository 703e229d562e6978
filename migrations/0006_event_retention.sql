-- phase: expand
-- Up Migration

-- Events of runs that have ended leave agents.events for agents.agent_events, by tier and day of the run's end: a day leaves as
-- a whole. agents.events keeps its unique key for as long as a run is open; thereafter nothing is appended (docs/adr/0014).
-- Both in whole days or hours after the end of the run.
alter table agents.retention_tiers
  -- How long a run's events stay where the writers are.
  add column live_hours bigint not null default 24 check (live_hours > 0),
  add column event_days bigint not null default 30 check (event_days > 0);

-- Where the run's events went. All of them at once, so a run's events are in one place at any moment.
alter table agents.runs
  add column events_tier text,
  add column events_day date;
-- The highest of the session's event ids that went: a reader that has it already has nothing to look for there.
alter table agents.sessions add column kept_event_id bigint not null default 0;

create table agents.agent_events (
  tier text not null,
  -- UTC, of the run's end.
  day date not null,
  tenant_id text not null,
  session_id text not null,
  event_id bigint not null,
  run_id text not null,
  execution_id text not null,
  step text not null,
  -- squawk-ignore prefer-bigint-over-int
  sequence integer not null,
  type text not null,
  payload jsonb not null,
  release text not null,
  occurred_at timestamptz not null,
  primary key (tier, day, tenant_id, session_id, event_id)
) partition by list (tier);
create index agent_events_by_run on agents.agent_events (tenant_id, run_id, event_id);

-- Partitions ahead, and for days whose runs are still to be moved; those past their tier's days go. Runners own nothing and may
-- do no DDL but this. At most some changes a call: each holds its lock to the end. A lock that is not free now is so later.
create function agents.keep_event_partitions(ahead integer)
returns table (change text, partition text)
language plpgsql security definer
set search_path = pg_catalog
set lock_timeout = '2s'
as $$
declare
  today constant date := (now() at time zone 'utc')::date;
  kept record;
  parent text;
  wanted date;
  changes integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('agents.keep_event_partitions', 0)) then return; end if;
  for kept in select t.tier, t.event_days::integer as days from agents.retention_tiers t order by 1 loop
    parent := 'agent_events_' || kept.tier;
    -- A longer name would be cut, and might be another tier's.
    if length(parent) > 54 then raise exception 'tier % has a name of more than 41 characters', kept.tier; end if;
    if to_regclass(format('agents.%I', parent)) is null then
      execute format(
        'create table agents.%I partition of agents.agent_events for values in (%L) partition by range (day)', parent, kept.tier
      );
      change := 'made'; partition := parent; return next;
    end if;
    for wanted in
      select today + n from generate_series(0, ahead) n
      union
      select (r.finished_at at time zone 'utc')::date
      from agents.runs r left join agents.tenant_tiers t on t.tenant_id = r.tenant_id
      where r.finished_at is not null and r.events_day is null and coalesce(t.tier, 'standard') = kept.tier
        and (r.finished_at at time zone 'utc')::date + kept.days >= today
      order by 1
    loop
      partition := parent || '_' || to_char(wanted, 'YYYYMMDD');
      continue when to_regclass(format('agents.%I', partition)) is not null;
      if changes >= 32 then return; end if;
      -- Attached rather than made in place: readers of the parent are not locked out.
      execute format('create table agents.%I (like agents.%I including all)', partition, parent);
      execute format(
        'alter table agents.%I attach partition agents.%I for values from (%L) to (%L)', parent, partition, wanted, wanted + 1
      );
      changes := changes + 1;
      change := 'made'; return next;
    end loop;
    for partition in
      select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = to_regclass(format('agents.%I', parent)) and to_date(right(c.relname, 8), 'YYYYMMDD') + kept.days < today
      order by 1
    loop
      if changes >= 32 then return; end if;
      execute format('drop table agents.%I', partition);
      changes := changes + 1;
      change := 'dropped'; return next;
    end loop;
  end loop;
end
$$;
revoke execute on function agents.keep_event_partitions(integer) from public;
grant execute on function agents.keep_event_partitions(integer) to runtime;
grant select on agents.agent_events to runtime, reader, drill;
grant insert, delete on agents.agent_events to runtime;
grant delete on agents.events to runtime;
