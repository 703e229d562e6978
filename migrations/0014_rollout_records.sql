-- phase: expand
-- Up Migration

-- What happened when a release came here, kept where the release works: Cloud Deploy forgets, and its logs end. One row for each rollout.
create table agents.rollouts (
  target text not null,
  -- Cloud Deploy's name of the rollout, without its parents'.
  rollout text not null,
  -- The commit.
  release text not null,
  -- Of the last phase that was recorded.
  phase text,
  -- Name and digest of every image that Cloud Deploy was given.
  images jsonb not null default '[]',
  surface_sha256 text,
  -- Of the migrations that this release brought here, in this rollout or an earlier one.
  migrations jsonb not null default '[]',
  -- State, when, and by whom. Null where it could not be asked.
  approval jsonb,
  -- Phase, job, state, start and end of each job of the rollout. Null where it could not be asked.
  jobs jsonb,
  -- Id, gate, phase, verdict and seconds of each record in agents.evidence.
  evidence jsonb not null default '[]',
  -- Sentences: what could not be learnt, and why.
  unknown jsonb not null default '[]',
  recorded_at timestamptz not null default now(),
  primary key (target, rollout)
);
create index rollouts_by_release on agents.rollouts (release, recorded_at);
