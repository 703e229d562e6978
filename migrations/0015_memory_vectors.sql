-- phase: expand
-- Up Migration

-- Memories are found by their words, and by vectors of what they say. A memory without a vector, or with one of another method,
-- gets one when its tenant next asks.
alter table agents.memories
  add column embedding real[],
  -- The method and its dimensions: vectors of two methods can't be compared.
  add column embedded_by text;
alter table agents.memories add constraint memories_embedded check ((embedding is null) = (embedded_by is null)) not valid;
grant update (embedding, embedded_by) on agents.memories to runtime;

-- By pgvector where the server offers it and this role may create it. Without it everything works all the same, and slower.
do $$
begin
  if exists (select from pg_available_extensions where name = 'vector' and installed_version is null) then
    create extension vector with schema public;
  end if;
exception when insufficient_privilege then
  raise notice 'This role may not create the extension vector: vectors are compared by plain SQL until a superuser creates it in schema public.';
end
$$;

-- Of vectors of length 1: 0 for the same direction, 1 for nothing in common; null where they can't be compared. One text for both
-- kinds of server, so that the schema is the same in both, and so are statements: plpgsql reads a branch when it first comes to it. An
-- extension that is created later is used from then on.
create function agents.vector_distance(one real[], other real[]) returns double precision
language plpgsql stable parallel safe
set search_path = pg_catalog
as $$
begin
  if one is null or other is null or cardinality(one) <> cardinality(other) then
    return null;
  end if;
  if to_regtype('public.vector') is not null then
    return 1 + (one::public.vector operator(public.<#>) other::public.vector);
  end if;
  return (select 1 - sum(x * y) from unnest(one, other) as pair (x, y));
end
$$;
