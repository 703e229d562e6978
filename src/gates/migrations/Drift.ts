/**
 * Is the live schema what the history says? What the applied migrations make in an empty scratch database, against what is here.
 *
 * A hand-made change in one environment is found by nothing else: the next migration is proven against what is there, and
 * passes in this database alone.
 */
import { Effect } from "effect"
import type { Session, StatementFailed } from "../Database.ts"
import type { Finding } from "../Evidence.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import { empty, ScratchUnusable } from "./Scratch.ts"
import { migrationPath } from "./State.ts"

/** Definition by name: `index agents.events_pkey` and what it is. */
export type Schema = ReadonlyMap<string, string>

/** node-pg-migrate's own table is made by no migration, nor are partitions: a runner makes and drops those by the day. */
const ours = "n.nspname = 'agents' and c.relname not like 'pgmigrations%' and not c.relispartition"

/**
 * Everything in schema `agents` that a statement can meet. Names are qualified, since the search path is emptied first; the
 * order of columns is left out, since a dropped one leaves a gap. Rights of the owner are left out: who owns it differs.
 */
const definitions = `
  select 'table ' || n.nspname || '.' || c.relname as name,
    c.relkind::text || ' row security ' || c.relrowsecurity || coalesce(' partition ' || pg_get_partkeydef(c.oid), '') as definition
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${ours} and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all
  select 'column ' || n.nspname || '.' || c.relname || '.' || a.attname,
    format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
      || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || ' ' || a.attidentity::text || a.attgenerated::text
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where ${ours} and c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped
  union all
  select 'constraint ' || n.nspname || '.' || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
  from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
  where ${ours} and k.contype <> 'n'
  union all
  select 'index ' || n.nspname || '.' || c.relname, pg_get_indexdef(c.oid) || case when i.indisvalid then '' else ' invalid' end
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace where ${ours}
  union all
  select 'view ' || n.nspname || '.' || c.relname, pg_get_viewdef(c.oid)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${ours} and c.relkind in ('v', 'm')
  union all
  select 'rule ' || n.nspname || '.' || c.relname || '.' || r.rulename, pg_get_ruledef(r.oid)
  from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
  where ${ours} and r.rulename <> '_RETURN'
  union all
  select 'trigger ' || n.nspname || '.' || c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
  from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
  where ${ours} and not t.tgisinternal
  union all
  select 'policy ' || n.nspname || '.' || c.relname || '.' || p.polname,
    p.polcmd::text || coalesce(' using ' || pg_get_expr(p.polqual, p.polrelid), '') || coalesce(' check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
  from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace where ${ours}
  union all
  select 'function ' || p.oid::regprocedure::text, pg_get_functiondef(p.oid)
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'agents' and p.prokind in ('f', 'p')
  union all
  select 'type ' || t.oid::regtype::text, coalesce((select string_agg(e.enumlabel, ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid), '')
  from pg_type t join pg_namespace n on n.oid = t.typnamespace where n.nspname = 'agents' and t.typtype in ('e', 'd')
  union all
  select 'rights on ' || n.nspname || '.' || c.relname || ' of ' || coalesce(r.rolname, 'public'),
    string_agg(x.privilege_type, ', ' order by x.privilege_type)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join lateral aclexplode(c.relacl) x
  left join pg_roles r on r.oid = x.grantee
  where ${ours} and x.grantee <> c.relowner group by n.nspname, c.relname, r.rolname`

const withoutPath = <A, E>(session: Session, effect: Effect.Effect<A, E>) =>
  session
    .script("begin; set local search_path to pg_catalog")
    .pipe(Effect.zipRight(effect), Effect.ensuring(Effect.ignore(session.script("rollback"))))

const read = (session: Session): Effect.Effect<Schema, StatementFailed> =>
  session
    .query<{ name: string; definition: string }>(definitions)
    .pipe(Effect.map((rows) => new Map(rows.map(({ name, definition }) => [name, definition.trim()]))))

/** The schema as it is. */
export const live = (session: Session): Effect.Effect<Schema, StatementFailed> => withoutPath(session, read(session))

/** The schema as these migrations make it, in a scratch database that is left as it was: empty. */
export const replayed = (
  scratch: Session,
  files: ReadonlyArray<MigrationFile>
): Effect.Effect<Schema, ScratchUnusable | StatementFailed> =>
  empty(
    scratch,
    Effect.forEach(files, (file) =>
      scratch.script(`set local search_path to ${migrationPath}; ${file.sql.replace(/\bconcurrently\b/gi, "")}`).pipe(
        Effect.mapError(
          ({ message, code }) =>
            new ScratchUnusable({
              message: `${file.name} can't be replayed in the scratch database: ${message} (${code}). It needs the platform's roles, and the right to create in it.`
            })
        )
      )
    ).pipe(
      Effect.zipRight(scratch.script("set local search_path to pg_catalog")),
      Effect.zipRight(read(scratch)),
      (work) =>
        scratch.script("begin").pipe(Effect.zipRight(work), Effect.ensuring(Effect.ignore(scratch.script("rollback"))))
    )
  )

const shown = (definition: string) => (definition.length > 300 ? `${definition.slice(0, 300)} …` : definition)

/** Whether a difference can break a statement: one index more can not. */
const severityOf = (name: string, extra: boolean): Finding["severity"] =>
  extra && name.startsWith("index ") ? "note" : "hazard"

/** What stands between the two. Pure. */
export const drift = (here: Schema, history: Schema): ReadonlyArray<Finding> =>
  [...new Set([...here.keys(), ...history.keys()])].sort().flatMap((name): ReadonlyArray<Finding> => {
    const [now, made] = [here.get(name), history.get(name)]
    if (now === made) return []
    return [
      {
        rule: "schema-drift",
        severity: severityOf(name, made === undefined),
        what:
          made === undefined
            ? `The live schema has ${name}, which no applied migration makes.`
            : now === undefined
              ? `The live schema lacks ${name}, which the applied migrations make.`
              : `In the live schema ${name} is not as the applied migrations make it.`,
        where: `schema agents, ${name}`,
        detail: `here: ${shown(now ?? "nothing")}\nby the history: ${shown(made ?? "nothing")}`,
        why: "It was changed by hand. What is proven here then holds here alone, and a new database would not be like this one.",
        fix: "Write a migration that brings every database to the same form (if not exists, if exists), or undo the change by hand."
      }
    ]
  })
