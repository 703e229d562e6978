-- phase: expand
-- Up Migration

-- Exports and removals of a tenant's data: who asked, why, how far it is, and the proof. Stays when all else of the tenant is gone.
create table agents.tenant_jobs (
  job_id bigint generated always as identity primary key,
  tenant_id text not null,
  kind text not null check (kind in ('export', 'removal')),
  state text not null default 'running' check (state in ('running', 'done')),
  requested_by text not null,
  why text not null,
  -- By table: written to the export, or removed so far. Changed in the transaction of the removal itself.
  counts jsonb not null default '{}',
  -- Of the file, byte for byte.
  sha256 text,
  started_at timestamptz not null default now(),
  finished_at timestamptz
);
create unique index tenant_jobs_one_removal on agents.tenant_jobs (tenant_id) where kind = 'removal' and state = 'running';
create index tenant_jobs_by_tenant on agents.tenant_jobs (tenant_id, job_id);
