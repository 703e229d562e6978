/** What the database remembers and who lives beside it: read once, under the migrators' lock. */
import type { SqlClient, SqlError } from "@effect/sql"
import { Data, Duration, Effect, Schedule, Schema, type Scope } from "effect"
import { type Session, StatementFailed } from "../Database.ts"
import * as Releases from "../Releases.ts"
import type { History } from "./History.ts"

/** Another migrator works on the same database, and did not finish in time. */
export class MigratorBusy extends Data.TaggedError("MigratorBusy")<{ readonly message: string }> {}

/** node-pg-migrate's own lock number, so that its command line, run by hand, keeps out as well. */
const lockNumber = "7241865325823964"

/** A migration that names no schema means ours, never the engine's. */
export const migrationPath = "agents"

export interface Timing {
  /** A statement that waits longer than this for a lock gives up, so that nobody queues behind it. */
  readonly lockTimeout: Duration.DurationInput
  /** How often a migration that met a lock is tried again, with growing, jittered pauses of up to 5 s. */
  readonly retries: number
  /** How long to wait for another migrator to finish. */
  readonly otherMigrator: Duration.DurationInput
  /** In a proof without commit, a statement that runs longer is given up: its locks are held meanwhile. */
  readonly proofTimeout: Duration.DurationInput
}

export const defaultTiming: Timing = {
  lockTimeout: "1 second",
  retries: 10,
  otherMigrator: "2 minutes",
  proofTimeout: "10 seconds"
}

const millis = (duration: Duration.DurationInput) => Math.round(Duration.toMillis(duration))

/** Sets up a migrator's session, and holds the migrators' lock until the scope closes. */
export const lock = (
  session: Session,
  timing: Timing
): Effect.Effect<void, StatementFailed | MigratorBusy, Scope.Scope> =>
  Effect.gen(function* () {
    yield* session.script(
      [
        `set lock_timeout = ${millis(timing.lockTimeout)}`,
        "set idle_in_transaction_session_timeout = '60s'",
        // A migrator that was killed must not go on holding locks until its statement ends. Postgres 14, not on macOS.
        `do $$ begin perform set_config('client_connection_check_interval', '2s', false); exception when others then null; end $$`,
        `set search_path to ${migrationPath}`
      ].join(";\n")
    )
    // Asked for again and again, instead of waited for: a waiting statement holds a snapshot, and a CREATE INDEX CONCURRENTLY
    // of the other migrator would wait for us while we wait for it.
    const take = session
      .query<{ taken: boolean }>(`select pg_try_advisory_lock(${lockNumber}) as taken`)
      .pipe(Effect.map((rows) => rows[0]?.taken === true))
    const taken = yield* take.pipe(
      Effect.repeat({
        until: (taken) => taken,
        schedule: Schedule.spaced("300 millis").pipe(
          Schedule.jittered,
          Schedule.upTo(timing.otherMigrator),
          Schedule.whileInput((taken: boolean) => !taken)
        )
      }),
      Effect.zipRight(take)
    )
    if (!taken) {
      return yield* new MigratorBusy({
        message: `Another migrator has been working on this database for more than ${millis(timing.otherMigrator) / 1000} s. Nothing was changed. Wait for it to end (look for application_name "deliver" in pg_stat_activity), then run the same command again.`
      })
    }
  })

export interface State {
  readonly history: History
  readonly records: ReadonlyArray<
    Releases.ReleaseRecord & { readonly statements: Releases.SurfaceStatements["statements"] }
  >
  readonly live: ReadonlyArray<Releases.LiveRelease>
  /** The engine's tables are there. They are not before the first release. */
  readonly engine: boolean
}

export const exists = (session: Session, table: string): Effect.Effect<boolean, StatementFailed> =>
  session
    .query<{ there: boolean }>("select to_regclass($1) is not null as there", [table])
    .pipe(Effect.map((rows) => rows[0]?.there === true))

export const engineIsThere = (session: Session) => exists(session, "cluster.cluster_messages")

/** SqlError carries what Postgres said as its cause. */
export const fromSqlError = (error: SqlError.SqlError): StatementFailed => {
  const cause = error.cause
  return new StatementFailed({
    code: typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "",
    message: cause instanceof Error ? cause.message : error.message,
    detail: undefined
  })
}

const decodeStatements = Schema.decodeUnknown(Releases.SurfaceStatements)

/** Reads what a plan needs. Tables that do not exist yet count as empty: this may be a database's first migration. */
export const read = (session: Session): Effect.Effect<State, StatementFailed, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const when = <A, R>(table: string, effect: Effect.Effect<ReadonlyArray<A>, StatementFailed, R>) =>
      Effect.flatMap(exists(session, table), (there) => (there ? effect : Effect.succeed<ReadonlyArray<A>>([])))
    const applied = yield* when(
      "agents.pgmigrations",
      session.query<{ name: string }>("select name from agents.pgmigrations")
    )
    const checksums = yield* when(
      "agents.migration_checksums",
      session.query<{ name: string; sha256: string }>("select name, sha256 from agents.migration_checksums")
    )
    const records = yield* when("agents.releases", Releases.list.pipe(Effect.mapError(fromSqlError)))
    const live = yield* when("agents.runners", Releases.alive.pipe(Effect.mapError(fromSqlError)))
    return {
      history: {
        applied: applied.map(({ name }) => name),
        checksums: new Map(checksums.map(({ name, sha256 }) => [name, sha256]))
      },
      records: yield* Effect.forEach(records, (record) =>
        decodeStatements(record.surface).pipe(
          Effect.map(({ statements }) => ({ ...record, statements })),
          Effect.mapError(
            () =>
              new StatementFailed({
                code: "",
                message: `The record of release ${record.release} in agents.releases holds no surface that can be read, so its statements can't be proven.`,
                detail: undefined
              })
          )
        )
      ),
      live,
      engine: yield* engineIsThere(session)
    }
  })

/** Keeps the sha256 of each applied file that has none yet. Does nothing before the table exists. */
export const keepChecksums = (
  session: Session,
  files: ReadonlyArray<{ readonly name: string; readonly sha256: string }>,
  release: string
): Effect.Effect<void, StatementFailed> =>
  Effect.flatMap(exists(session, "agents.migration_checksums"), (there) =>
    there
      ? session
          .query(
            `insert into agents.migration_checksums (name, sha256, release)
             select f.name, f.sha256, $2 from jsonb_to_recordset($1::jsonb) as f(name text, sha256 text)
             where f.name in (select name from agents.pgmigrations) on conflict (name) do nothing`,
            [JSON.stringify(files.map(({ name, sha256 }) => ({ name, sha256 }))), release]
          )
          .pipe(Effect.asVoid)
      : Effect.void
  )

/**
 * One value for everything that is declared in schema `cluster`, and the rows this transaction wrote there. A migration that
 * changes either has touched the engine, however it went about it (dynamic SQL, a trigger, a foreign key on its tables).
 */
export const engineFingerprint = (session: Session): Effect.Effect<string, StatementFailed> =>
  // Postgres counts rows of ended transactions, rolled back ones too, until it gets round to telling others, about once a second: a
  // probe of a proof would look like a change of the migration if that came between two looks. Told at once, both see their own alone.
  Effect.zipRight(
    session.query("select pg_stat_force_next_flush()"),
    session.query<{ fingerprint: string }>(
      `select md5(coalesce(string_agg(line, E'\\n' order by line), '')) as fingerprint from (
         select format('%s %s %s %s %s', c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
           from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           where c.relnamespace = to_regnamespace('cluster')
         union all
         select format('constraint %s %s', n.conname, pg_get_constraintdef(n.oid)) from pg_constraint n
           where n.connamespace = to_regnamespace('cluster')
         union all
         select format('trigger on %s', c.relname) from pg_trigger t join pg_class c on c.oid = t.tgrelid
           where c.relnamespace = to_regnamespace('cluster')
         union all
         select format('rows %s %s', s.relname, s.n_tup_ins + s.n_tup_upd + s.n_tup_del) from pg_stat_xact_user_tables s
           where s.schemaname = 'cluster' and s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0
       ) as found(line)`
    )
  ).pipe(Effect.map((rows) => rows[0]?.fingerprint ?? ""))

/**
 * One value for what sessions begin with, or are kept from: settings of databases and roles, and who may connect. The proof's own
 * session began before the migration, so no statement of it feels what is set here.
 */
export const sessionDefaults = (session: Session): Effect.Effect<string, StatementFailed> =>
  session
    .query<{ fingerprint: string }>(
      `select md5(coalesce(string_agg(line, E'\\n' order by line), '')) as fingerprint from (
         select format('set %s %s %s', setdatabase, setrole, setconfig) from pg_db_role_setting
           where setdatabase in (0, (select oid from pg_database where datname = current_database()))
         union all
         select format('database %s %s', datallowconn, datconnlimit) from pg_database where datname = current_database()
         union all
         select format('role %s %s %s %s', rolname, rolcanlogin, rolconnlimit, rolvaliduntil) from pg_roles
           where rolname in ('runtime', 'reader', 'migrator', 'drill')
       ) as found(line)`
    )
    .pipe(Effect.map((rows) => rows[0]?.fingerprint ?? ""))

/** Who sees which rows, of each of our tables: what a policy hides is missing from an answer without an error. */
export const rowSecurity = (session: Session): Effect.Effect<ReadonlyMap<string, string>, StatementFailed> =>
  session
    .query<{ name: string; rules: string }>(
      `select c.relname as name, format('%s %s %s', c.relrowsecurity, c.relforcerowsecurity, (
           select string_agg(format('%s %s %s %s %s', polname, polcmd, polroles, pg_get_expr(polqual, polrelid), polpermissive), ', ' order by polname)
           from pg_policy where polrelid = c.oid)) as rules
       from pg_class c where c.relnamespace = to_regnamespace('agents') and c.relkind in ('r', 'p')`
    )
    .pipe(Effect.map((rows) => new Map(rows.map(({ name, rules }) => [name, rules]))))

/** Rows that this transaction changed outside of the engine's tables. After `engineFingerprint`, whose look begins the count anew. */
export const changedRows = (session: Session): Effect.Effect<number, StatementFailed> =>
  session
    .query<{ rows: string }>(
      `select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::text as rows from pg_stat_xact_user_tables
       where schemaname <> 'cluster' and relname <> 'pgmigrations'`
    )
    .pipe(Effect.map((found) => Number(found[0]?.rows ?? 0)))

/** Whoever holds locks on our tables right now, in words without any query text (it may hold somebody's data). */
export const lockHolders = (session: Session): Effect.Effect<string> =>
  session
    .query<{ holder: string }>(
      `select format('%s, pid %s (%s%s)', coalesce(nullif(a.application_name, ''), 'a session'), a.pid, a.usename,
           coalesce(', in a transaction for ' || extract(epoch from now() - a.xact_start)::int || ' s', '')) as holder
       from pg_stat_activity a
       where a.pid <> pg_backend_pid() and exists (
         select from pg_locks l join pg_class c on c.oid = l.relation
         where l.pid = a.pid and l.granted and c.relnamespace = to_regnamespace('agents') and c.relkind in ('r', 'p', 'i'))
       order by a.xact_start nulls last limit 5`
    )
    .pipe(
      Effect.map((rows) => rows.map(({ holder }) => holder).join("; ")),
      Effect.orElseSucceed(() => "")
    )
