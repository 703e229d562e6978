-- phase: expand
-- Up Migration

-- A tenant whose open_runs is 0 gets no run, whichever release or gateway lets one in: gateways read limits some seconds late, and
-- a removal must know that no run comes any more. Whoever closes a tenant takes the lock below alone, after its change is
-- committed: then every run was inserted before and can be seen, or meets the change. (Volatile: each query in here sees what
-- is committed by then, which the statement that inserts does not.)
create function agents.keep_closed_tenants_closed() returns trigger
language plpgsql volatile
set search_path = pg_catalog
as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('agents.runs/' || new.tenant_id, 0));
  if exists (select from agents.tenant_limits l where l.tenant_id = new.tenant_id and l.open_runs = 0) then
    -- As if the run's id were taken: whoever starts finds the run that is there, or none.
    return null;
  end if;
  return new;
end
$$;
create trigger runs_keep_closed_tenants_closed before insert on agents.runs
  for each row execute function agents.keep_closed_tenants_closed();
