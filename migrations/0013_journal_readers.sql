-- phase: expand
-- Up Migration

-- Once steps are recorded in agents.steps, a release that does not read them may not come back: it would carry them out again.
-- Its own gates can't know of that, and its statements all work; so its record is refused, which its rollout begins with.
create function agents.keep_readers_of_steps() returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
  if new.state <> 'retired'
    and new.surface ? 'statements'
    and not new.surface->'statements' @> '[{"name":"journal.load"}]'
    and not exists (select from agents.releases r where r.release = new.release and r.state <> 'retired')
    and exists (select from agents.steps)
  then
    raise exception 'Release % does not read agents.steps, where the steps of executions are recorded', new.release
      using detail = 'It would take executions over whose steps it does not find, and carry them out a second time.',
        hint = 'Go forward: roll out a release that has the statement journal.load. Or set STEP_ENGINE=stock in every runner, and come back when agents.steps is empty: rows go with their executions.';
  end if;
  return new;
end
$$;
create trigger releases_keep_readers_of_steps before insert or update of state, surface on agents.releases
  for each row execute function agents.keep_readers_of_steps();
