-- phase: backfill
-- Up Migration

-- One row; the tier's promise is a year.
update agents.retention_tiers set event_days = 365 where tier = 'enterprise' and event_days = 30;
