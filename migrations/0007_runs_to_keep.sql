-- phase: expand
-- transaction: none
-- Up Migration

-- Runs that have ended and whose events are still where the writers are: a day's runs among all.
create index concurrently if not exists runs_to_keep on agents.runs (finished_at)
  where finished_at is not null and events_day is null;
