-- phase: expand
-- Up Migration

-- Each minute the function of 0006 read every ended run whose events were not moved yet, once for each tier: a million of them is
-- an ordinary day. Now it asks the index runs_to_keep for the oldest one, and for each day since then whether there is any: one look
-- for each of a tier's days at most. Which tier they are of is not asked, so a day with runs of one gets the others' partitions too.
create or replace function agents.keep_event_partitions(ahead integer)
returns table (change text, partition text)
language plpgsql security definer
set search_path = pg_catalog
set lock_timeout = '2s'
as $$
declare
  today constant date := (now() at time zone 'utc')::date;
  oldest constant date := (
    select (r.finished_at at time zone 'utc')::date from agents.runs r
    where r.finished_at is not null and r.events_day is null order by r.finished_at limit 1
  );
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
      select past.day
      from (
        select today - n as day
        from generate_series(1, case when oldest is null then 0 else least(kept.days, today - oldest) end) n
      ) past
      -- With its order and limit: an "exists" is made into a join that reads all of them.
      cross join lateral (
        select from agents.runs r
        where r.finished_at is not null and r.events_day is null
          and r.finished_at >= past.day::timestamp at time zone 'utc'
          and r.finished_at < (past.day + 1)::timestamp at time zone 'utc'
        order by r.finished_at limit 1
      ) waiting
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
