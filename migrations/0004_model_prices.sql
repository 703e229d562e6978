-- phase: expand
-- Up Migration

-- What a model's tokens cost, from a moment on. A row is never changed: a new price is a new row, so that what was reported
-- for a day stays what it was. Exact: at most six places after the point, and sums are of numerics.
create table agents.model_prices (
  model text not null,
  valid_from timestamptz not null,
  input_usd_per_million numeric(18, 6) not null check (input_usd_per_million >= 0),
  output_usd_per_million numeric(18, 6) not null check (output_usd_per_million >= 0),
  -- Where the price is from, and who wrote it down.
  note text,
  recorded_at timestamptz not null default now(),
  primary key (model, valid_from)
);

grant select on agents.model_prices to runtime, reader, drill;
