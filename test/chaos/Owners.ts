/**
 * Who recorded each step, and whose its shard was then: added to the database that schedules are played on, since the table
 * itself keeps neither.
 *
 * The function is stable, so it looks with the very snapshot of the statement that records: it finds the owner that this
 * statement had to ask for, and not one that came while it was under way.
 */
export const witness = `
alter table agents.steps add column writer text, add column owner text;
create function agents.witness_step() returns trigger language plpgsql stable security definer as $$
begin
  new.writer := current_setting('application_name');
  new.owner := (
    select e.runner from cluster.cluster_messages m join agents.shard_epochs e on e.shard_id = m.shard_id
    where m.entity_id = new.execution_id and m.tag = 'run' limit 1
  );
  return new;
end $$;
create trigger witness before insert on agents.steps for each row execute function agents.witness_step()`

export const stepsOf = `
select execution_id as execution, name || '/' || attempt as step, writer, owner
from agents.steps where execution_id = any($1) order by finished_at`
