-- phase: expand
-- Up Migration

-- Which releases may run against this database, with the surface of each: what the gates of the next release compare with.
create table agents.releases (
  -- The commit.
  release text primary key,
  surface jsonb not null,
  image text,
  -- deploying: its runners may start at any moment. deployed: the one that serves. rollback-choice: the one that was
  -- deployed before. retired: may not come back without passing the gates again.
  state text not null check (state in ('deploying', 'deployed', 'rollback-choice', 'retired')),
  target text,
  rollout text,
  recorded_at timestamptz not null default now(),
  deployed_at timestamptz,
  retired_at timestamptz
);
create unique index releases_one_deployed on agents.releases (state) where state = 'deployed';

-- The text that was really applied. A file that is edited later is found by this.
create table agents.migration_checksums (
  name text primary key,
  sha256 text not null,
  release text,
  recorded_at timestamptz not null default now()
);

-- What each gate saw. A hook's Job is deleted with its log when it fails; this stays.
create table agents.evidence (
  evidence_id bigint generated always as identity primary key,
  release text not null,
  gate text not null,
  verdict text not null check (verdict in ('passed', 'refused', 'undecided')),
  target text,
  rollout text,
  phase text,
  evidence jsonb not null,
  recorded_at timestamptz not null default now()
);
create index evidence_by_release on agents.evidence (release, recorded_at);

grant select on agents.releases, agents.migration_checksums, agents.evidence to runtime, drill;
grant insert on agents.evidence to reader, drill;
