/**
 * Migrations, as `deliver gate migrations` judges them: in a database where a release lives that reads and writes notes.
 *
 * Nothing is committed, so one database serves all of them.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { binary, lint } from "../../src/gates/migrations/Lint.ts"
import { parse } from "../../src/gates/migrations/MigrationFile.ts"
import { platformDatabase } from "../support/migrated-database.ts"
import { base, next, old, type Statement, up, type World } from "../support/migration-world.ts"
import { type Entry, saidBy } from "./Entry.ts"

/** A release is deployed that reads the author and writes notes. */
export const deployed = (world: World) => world.deploy(old)

interface Change {
  readonly sql: string
  readonly phase?: "expand" | "backfill" | "contract"
  /** Instead of `sql` with the header of `phase`. */
  readonly files?: Readonly<Record<string, string>>
  readonly statements?: ReadonlyArray<Statement>
  /** A file that the release lacks, though it is applied. */
  readonly lacks?: string
  readonly undecided?: true
  /** A scratch database is given, so the locks are traced. */
  readonly traced?: true
}

const linted = (files: Readonly<Record<string, string>>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "hazard-lint-"))),
    (folder) =>
      Effect.gen(function* () {
        const squawk = yield* binary(join(import.meta.dirname, "../.."))
        const found = yield* Effect.forEach(
          Object.entries(files).filter(([name]) => !(name in base)),
          ([name, text]) => {
            const path = join(folder, `${name}.sql`)
            writeFileSync(path, text)
            return lint(squawk, parse(name, path, text))
          }
        )
        return found.flat().length > 0
      }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ).pipe(Effect.orDie)

const entry =
  (title: string, expect: string | null, change: Change) =>
  (world: World): Entry => ({
    gate: "migrations",
    title,
    expect,
    ...(change.undecided === undefined ? {} : { undecided: change.undecided }),
    judge: Effect.gen(function* () {
      const files = change.files ?? { "0003_change": up(change.sql, change.phase ?? "expand") }
      const whole = next(files, change.statements)
      const release = {
        ...whole,
        files: Object.fromEntries(Object.entries(whole.files).filter(([name]) => name !== change.lacks))
      }
      const scratch = change.traced === true ? { scratch: (yield* platformDatabase).urlOf("migrator") } : {}
      const { verdict, findings } = yield* world.run(release, { mode: "prove", ...scratch }).pipe(Effect.orDie)
      return { ...saidBy(verdict, findings), squawk: expect === null ? false : yield* linted(files) }
    })
  })

const hazard = (title: string, expect: string, sql: string, phase: Change["phase"] = "expand") =>
  entry(title, expect, { sql, phase })
const harmless = (
  title: string,
  sql: string,
  phase: Change["phase"] = "expand",
  statements?: ReadonlyArray<Statement>
) => entry(title, null, { sql, phase, ...(statements === undefined ? {} : { statements }) })
const file = (title: string, expect: string | null, files: Readonly<Record<string, string>>) =>
  entry(title, expect, { sql: "", files })

const more = "alter table agents.notes add column more text;"
const ignore = (rule: string, sql: string) => `-- squawk-ignore ${rule}\n${sql}`

export const migrationEntries: ReadonlyArray<(world: World) => Entry> = [
  hazard(
    "a column is dropped that a live release reads",
    "would break statement notes.read",
    "alter table agents.notes drop column author;",
    "contract"
  ),
  hazard(
    "a column is renamed that a live release reads",
    "would break statement notes.read",
    "alter table agents.notes rename column author to writer;",
    "contract"
  ),
  hazard(
    "a table is dropped that a live release uses",
    "would break statement",
    "drop table agents.notes;",
    "contract"
  ),
  hazard(
    "a table is renamed that a live release uses",
    "would break statement",
    "alter table agents.notes rename to memos;",
    "contract"
  ),
  hazard(
    "a table moves to another schema",
    "would break statement",
    "create schema archive; alter table agents.notes set schema archive;",
    "contract"
  ),
  hazard(
    "a table becomes a view without the column",
    "would break statement notes.read",
    "alter table agents.notes rename to memos; create view agents.notes as select id, body from agents.memos;",
    "contract"
  ),
  hazard(
    "a column is added that old inserts leave empty",
    "would break statement notes.write",
    ignore("adding-required-field", "alter table agents.notes add column region text not null;")
  ),
  hazard(
    "a check is added that old inserts don't meet",
    "would break statement notes.write",
    "alter table agents.notes add constraint long check (length(body) > 100) not valid;"
  ),
  hazard(
    "an author becomes mandatory for new rows",
    "would break statement notes.write",
    "alter table agents.notes add constraint author_there check (author is not null) not valid;"
  ),
  hazard(
    "a trigger refuses old inserts",
    "would break statement notes.write",
    "create function agents.no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$; create trigger no before insert on agents.notes for each row execute function agents.no();"
  ),
  hazard(
    "row security shuts the runners out",
    "would break statement notes.write",
    "alter table agents.notes enable row level security;"
  ),
  hazard("a right is taken from the runners", "notes.write", "revoke insert on agents.notes from runtime;", "contract"),
  hazard(
    "a column gets too narrow for what is written",
    "would break statement notes.write",
    ignore("changing-column-type, prefer-text-field", "alter table agents.notes alter column body type varchar(2);"),
    "contract"
  ),
  hazard(
    "a column's type changes under a reader",
    "it answered (bigint, text) and would answer (text, text)",
    ignore("changing-column-type", "alter table agents.notes alter column id type text using id::text;"),
    "contract"
  ),
  hazard(
    "an index is built while writers wait",
    "require-concurrent-index-creation",
    "create index notes_author on agents.notes (author);"
  ),
  hazard("a column is dropped in an expand step", "ban-drop-column", "alter table agents.notes drop column body;"),
  hazard("a type is changed with a rewrite", "type", "alter table agents.notes alter column id type numeric;"),
  hazard(
    "a column is made NOT NULL with a scan under lock",
    "NULL",
    "alter table agents.notes alter column author set not null;"
  ),
  hazard(
    "a foreign key is checked under lock",
    "squawk/",
    "create table agents.people (name text primary key); alter table agents.notes add constraint person foreign key (author) references agents.people (name);"
  ),
  hazard(
    "an engine table gets a column",
    "engine's tables",
    "alter table cluster.cluster_messages add column mine text;"
  ),
  hazard(
    "an engine table is changed by a way the text does not show",
    "engine's tables",
    "do $$ begin execute 'alter table clus' || 'ter.clus' || 'ter_messages add column mine text'; end $$;"
  ),
  hazard("rows of the engine are deleted", "engine's tables", "delete from cluster.cluster_messages;", "backfill"),
  hazard(
    "rows are filled in an expand step",
    "is an expand step and changes rows",
    "update agents.notes set author = 'x';"
  ),
  hazard(
    "a backfill adds the column it fills",
    "is a backfill and changes the schema",
    `${more} update agents.notes set more = 'x';`,
    "backfill"
  ),
  hazard(
    "a backfill takes away what it has moved",
    "is a backfill and changes the schema",
    "update agents.notes set body = author; alter table agents.notes drop column author;",
    "backfill"
  ),
  hazard(
    "a backfill changes more rows at once than a short transaction may",
    "rows in one transaction; 10000 are the most",
    "insert into agents.notes (id, body) select n, 'x' from generate_series(1000, 11000) as n;",
    "backfill"
  ),
  hazard("a migration commits by itself", "controls its own transaction", `${more} commit;`),
  hazard(
    "an index is built concurrently inside of a transaction",
    "inside of a transaction",
    "create index concurrently if not exists notes_author on agents.notes (author);"
  ),
  hazard("a migration can't be applied", "can't be applied", "alter table agents.nothing add column x text;"),
  entry("a release's own statement is not served", "does not work", {
    sql: more,
    statements: [{ name: "notes.tags", text: "select tags from agents.notes" }]
  }),
  entry("a new table is not granted to the runners", "permission denied", {
    sql: "create table agents.tags (tag text primary key);",
    statements: [{ name: "tags.read", text: "select tag from agents.tags" }]
  }),
  file("a migration does not say its phase", "does not say its phase", {
    "0003_change": `-- phase:\n-- Up Migration\n${more}`
  }),
  file("a migration has a down part", "has a down part", {
    "0003_change": `${up(more)}-- Down Migration\nalter table agents.notes drop column more;`
  }),
  file("a migration is empty", "holds no statement", { "0003_change": up("") }),
  file("a backfill in batches does not limit them", "without", {
    "0003_change": `-- batches: 500\n${up("update agents.notes set author = 'x' where author is null;", "backfill")}`
  }),
  file("a backfill in batches passes by locked rows", "leaves out rows that somebody has locked", {
    "0003_change": `-- batches: 500\n${up("update agents.notes set author = 'x' where id in (select id from agents.notes where author is null limit 500 for update skip locked);", "backfill")}`
  }),
  file("rows are filled in batches", null, {
    "0003_change": `-- batches: 500\n${up("update agents.notes set author = 'x' where id in (select id from agents.notes where author is null limit 500);", "backfill")}`
  }),
  file("an applied migration is edited", "was edited after it had been applied", {
    "0001_notes": `${base["0001_notes"]}\nselect 1;`,
    "0003_change": up(more)
  }),
  file("a migration is put before applied ones", "would come before", { "0001b_change": up(more) }),
  entry("an applied migration is deleted", "which this release does not contain", {
    sql: more,
    lacks: "0002_release_records"
  }),
  file("a number is taken twice", "have the same number", {
    "0003_change": up(more),
    "0003_also": up("alter table agents.notes add column other text;")
  }),
  file("a migration outside of a transaction can't be resumed", "not one resumable statement", {
    "0003_change": `-- phase: expand\n-- transaction: none\n-- Up Migration\ncreate index concurrently notes_author on agents.notes (author);`
  }),

  entry("a table is rewritten by a text that is put together at run time", "rewrites agents.notes while it holds", {
    sql: "do $$ begin execute 'alter table agents.notes alter body ty' || 'pe text collate \"C\"'; execute 'alter table agents.notes add at timestamptz default clock_time' || 'stamp()'; end $$;",
    traced: true
  }),
  entry("a table is read behind a lock on another", "reads all of agents.notes while it holds", {
    sql: "alter table agents.evidence add column note text; do $$ begin perform count(*) from agents.notes; end $$;",
    traced: true
  }),
  entry("three tables are locked against their readers in one migration", "locks 3 tables against their readers", {
    sql: "alter table agents.notes add column a text; alter table agents.evidence add column a text; alter table agents.runners add column a text;",
    traced: true
  }),

  file("a key that live releases may repeat becomes unique, concurrently", "live releases write to it", {
    "0003_change": `-- phase: expand\n-- transaction: none\n-- Up Migration\ncreate unique index concurrently if not exists one_author on agents.notes (author);`
  }),
  hazard(
    "a key that old inserts give becomes generated",
    "would break statement notes.write",
    "alter table agents.notes alter column id add generated always as identity;"
  ),

  hazard(
    "a trigger passes old inserts over without a word",
    "its sample wrote 1 row(s) and would write none",
    "create function agents.no() returns trigger language plpgsql as $$ begin return null; end $$; create trigger no before insert on agents.notes for each row execute function agents.no();"
  ),
  hazard(
    "a rule makes old inserts do nothing",
    "its sample wrote 1 row(s) and would write none",
    "create rule no as on insert to agents.notes do instead nothing;"
  ),
  entry("a policy lets runners write and hides all rows from them", "which rows of agents.notes are seen by whom", {
    sql: "alter table agents.notes enable row level security; create policy writes on agents.notes for insert to runtime with check (true);",
    undecided: true
  }),
  hazard(
    "the runners' next sessions may only read",
    "changes what sessions begin with",
    "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$;"
  ),
  hazard(
    "the migrator's own role gets a setting",
    "changes what sessions begin with",
    "alter role current_user set statement_timeout = '1ms';"
  ),
  hazard(
    "nobody may connect to the database any more",
    "changes what sessions begin with",
    "do $$ begin execute format('alter database %I connection limit 0', current_database()); end $$;"
  ),
  harmless("a migration sets something for its own transaction", `set local statement_timeout = '30s'; ${more}`),

  file("a key becomes unique that nobody repeats, and the header says why", null, {
    "0003_change": `-- phase: expand\n-- unique: authors have one note each, made with the account\n-- transaction: none\n-- Up Migration\ncreate unique index concurrently if not exists one_author on agents.notes (author);`
  }),
  file("a new table has a unique index", null, {
    "0003_change": up("create table agents.tags (tag text); create unique index tags_tag on agents.tags (tag);")
  }),
  entry("a scan under lock says why it may be", null, {
    sql: "",
    files: {
      "0003_change": `-- lock: the table holds a row a tenant\n${up("alter table agents.notes add column a text; do $$ begin perform count(*) from agents.notes; end $$;")}`
    },
    traced: true
  }),
  entry("two tables get a column each", null, {
    sql: "alter table agents.notes add column a text; alter table agents.evidence add column a text;",
    traced: true
  }),
  harmless("a column is added", more),
  harmless("a column with a default is added", "alter table agents.notes add column stars bigint not null default 0;"),
  harmless(
    "a table is added and granted",
    "create table agents.tags (tag text primary key); grant select on agents.tags to runtime;",
    "expand",
    [{ name: "tags.read", text: "select tag from agents.tags" }]
  ),
  harmless(
    "a table is added with a policy",
    "create table agents.tags (tag text primary key); alter table agents.tags enable row level security; create policy all_of_it on agents.tags to runtime using (true);"
  ),
  harmless(
    "a table is added with its index",
    "create table agents.tags (tag text primary key, note bigint); create index tags_note on agents.tags (note);"
  ),
  file("an index is built concurrently by itself", null, {
    "0003_change": `-- phase: expand\n-- transaction: none\n-- Up Migration\ncreate index concurrently if not exists notes_author on agents.notes (author);`
  }),
  harmless("rows are filled", "update agents.notes set author = 'nobody' where author is null;", "backfill"),
  harmless(
    "a check is added that everything meets",
    "alter table agents.notes add constraint body_there check (length(body) < 1000000) not valid;"
  ),
  harmless(
    "a view keeps the old form of a renamed table",
    "alter table agents.notes rename to memos; create view agents.notes as select id, body, author from agents.memos; grant select, insert on agents.notes to runtime;",
    "contract"
  ),
  harmless(
    "a column that nobody reads is added and dropped again",
    `${more} alter table agents.notes drop column more;`,
    "contract"
  ),
  harmless("a comment is written", "comment on table agents.notes is 'what people write';")
]
