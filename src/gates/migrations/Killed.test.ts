/**
 * The migrator, gone at every step: before a statement goes out, and after, with its answer unread. Whatever it left, live
 * releases work with it, and the same command run again ends where one that nobody killed ends.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, type Scope } from "effect"
import pg from "pg"
import { afterAll, beforeAll } from "vitest"
import { appliedIn, next, old, up, type World, world } from "../../../test/support/migration-world.ts"

const release = next({
  "0003_more": up("alter table agents.notes add column more text; alter table agents.notes add column most text;"),
  "0004_index":
    "-- phase: expand\n-- transaction: none\n-- Up Migration\ncreate index concurrently if not exists notes_author on agents.notes (author);",
  "0005_fill": `-- batches: 10\n${up("update agents.notes set author = 'x', body = body || '.' where id in (select id from agents.notes where author is null order by id limit 10)", "backfill")}`
})

const deployed = Effect.gen(function* () {
  const made = yield* world
  yield* made.deploy(old)
  yield* made.database.query("insert into agents.notes (id, body) select i, 'b' from generate_series(1, 25) i")
  return made
})

/** All that a run is to leave. */
const left = ({ database }: World) =>
  database.query<{ what: string }>(
    `select format('%s %s', attname, format_type(atttypid, atttypmod)) as what from pg_attribute where attrelid = 'agents.notes'::regclass and attnum > 0
     union all select indexrelid::regclass || ' ' || indisvalid from pg_index where indrelid = 'agents.notes'::regclass
     union all select 'applied ' || name from agents.pgmigrations
     union all select 'checksum ' || name from agents.migration_checksums
     union all select 'release ' || release || ' ' || state from agents.releases
     union all select format('%s notes by %s say %s', count(*), author, body) from agents.notes group by author, body order by 1`
  )

type Query = (this: pg.Client, ...args: ReadonlyArray<unknown>) => unknown
const streamOf = (client: pg.Client) =>
  (client as unknown as { readonly connection: { readonly stream: { readonly destroy: () => void } } }).connection
    .stream

interface Fate {
  /** Of the statements that a run sends, counted from 1. */
  readonly at: number
  readonly answered: "never sent" | "answer unread"
}

type Send = (client: pg.Client, send: () => unknown, text: string) => unknown
/** What becomes of statements of the migrator, by their database. */
const watched = new Map<string, Send>()
const prototype = pg.Client.prototype as unknown as { query: Query }
const { query } = prototype
beforeAll(() => {
  prototype.query = function (...args) {
    const { database, user } = this as unknown as { readonly database: string; readonly user: string }
    const send = () => query.apply(this, [...args])
    const [given] = args as [string | { readonly text?: string }]
    const text = typeof given === "string" ? given : (given.text ?? "")
    return user === "migrator" ? (watched.get(database) ?? ((_client, go) => go()))(this, send, text) : send()
  }
})
afterAll(() => {
  prototype.query = query
})

/** Counts the statements of a run, and ends all of its sessions at one of them, as the kernel does for a process that is gone. */
const run = (made: World, fate?: Fate) =>
  Effect.suspend(() => {
    const seen = { count: 0, text: "" }
    let gone = false
    watched.set(made.database.name, (client, send, text) => {
      seen.count++
      const now = seen.count === fate?.at
      if (now) seen.text = text
      if (gone || (now && fate.answered === "never sent")) streamOf(client).destroy()
      const sent = send()
      if (now) {
        gone = true
        setImmediate(() => streamOf(client).destroy())
      }
      return sent
    })
    return Effect.exit(made.run(release)).pipe(
      Effect.map((exit) => ({ exit, seen })),
      Effect.ensuring(Effect.sync(() => watched.delete(made.database.name)))
    )
  })

const whole: Effect.Effect<
  { readonly statements: number; readonly leaves: ReadonlyArray<object> },
  never,
  Scope.Scope
> = Effect.gen(function* () {
  const made = yield* deployed
  const { exit, seen } = yield* run(made)
  expect(Exit.isSuccess(exit) && exit.value.verdict).toBe("passed")
  return { statements: seen.count, leaves: yield* left(made) }
})

const all = process.env["HAZARDS"] === "all"

describe("a migrator that is gone at a statement", () => {
  it.scopedLive(
    "leaves live releases what they need, no file half done, and the rest to the next run",
    () =>
      Effect.gen(function* () {
        const { statements, leaves } = yield* whole
        expect(statements).toBeGreaterThan(60)
        // Every statement in `make hazards`; here some, others in each of the two ways.
        const step = all ? 1 : 11
        const fates = (["never sent", "answer unread"] as const).flatMap((answered, index) =>
          Array.from({ length: statements }, (_, at): Fate => ({ at: at + 1, answered })).filter(
            ({ at }) => at % step === (index * 5) % step
          )
        )
        expect(fates.length).toBeGreaterThan(all ? 120 : 10)
        yield* Effect.forEach(
          fates,
          (fate) =>
            Effect.scoped(
              Effect.gen(function* () {
                const made = yield* deployed
                const { exit, seen } = yield* run(made, fate)
                const where = `${fate.answered}: statement ${fate.at}, ${seen.text.slice(0, 200)}`
                expect(seen.count, where).toBeGreaterThanOrEqual(fate.at)
                expect(Exit.isSuccess(exit) && exit.value.verdict, where).not.toBe("refused")
                // What it was at ends with it, also a commit whose answer nobody read.
                const columns = yield* made.columns
                expect(columns.includes("more"), where).toBe(columns.includes("most"))
                expect((yield* appliedIn(made.database)).includes("0003_more"), where).toBe(columns.includes("more"))
                for (const { text, probe } of old.statements)
                  yield* made.database.query(
                    text.replace("cluster_messages", "cluster.cluster_messages"),
                    probe === undefined ? (text.includes("$1") ? [0] : []) : [-1, "sample"]
                  )
                yield* made.database.query("delete from agents.notes where id = -1")
                const again = yield* made.run(release)
                expect(again.verdict, `${where}\n${JSON.stringify(again.findings)}`).toBe("passed")
                expect(yield* left(made), where).toEqual(leaves)
              })
            ),
          { concurrency: 2, discard: true }
        )
      }),
    600_000
  )
})
