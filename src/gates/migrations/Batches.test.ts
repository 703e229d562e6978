import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import pg from "pg"
import { appliedIn, next, old, rules, up, world } from "../../../test/support/migration-world.ts"

const batches = (sql: string, size = 10) => `-- batches: ${size}\n${up(sql, "backfill")}`
const fill = (size = 10, condition = "author is null") =>
  `update agents.notes set author = 'x', body = body || '.' where id in (select id from agents.notes where ${condition} order by id limit ${size})`
const filled = Effect.gen(function* () {
  const all = yield* world
  yield* all.deploy(old)
  yield* all.database.query("insert into agents.notes (id, body) select i, 'b' from generate_series(1, 25) i")
  return all
})
const bodies =
  "select body, count(*)::int as n, count(distinct xmin::text)::int as transactions from agents.notes group by 1"

describe("a backfill in batches", () => {
  it.scopedLive(
    "changes at most so many rows in one transaction, and each once, and is applied when none is left",
    () =>
      Effect.gen(function* () {
        const { database, run } = yield* filled
        const evidence = yield* run(next({ "0003_fill": batches(fill()) }))
        expect(evidence).toMatchObject({ verdict: "passed", findings: [] })
        expect(evidence.checks).toContainEqual({
          name: "batches of 0003_fill",
          result: expect.stringMatching(/^25 rows in 3 batches, the longest \d+ ms$/)
        })
        expect(yield* database.query(bodies)).toEqual([{ body: "b.", n: 25, transactions: 3 }])
        expect(yield* appliedIn(database)).toContain("0003_fill")
      })
  )

  it.scopedLive("changes nothing in a gate that only proves", () =>
    Effect.gen(function* () {
      const { database, run } = yield* filled
      expect((yield* run(next({ "0003_fill": batches(fill()) }), { mode: "prove" })).verdict).toBe("passed")
      expect(yield* database.query(bodies)).toEqual([{ body: "b", n: 25, transactions: 1 }])
    })
  )

  it.scopedLive(
    "is asked of a backfill that changes more rows than one transaction should, by the rows that it changed",
    () =>
      Effect.gen(function* () {
        const { database, run } = yield* filled
        const all = next({ "0003_fill": up("update agents.notes set author = 'x', body = body || '.'", "backfill") })
        expect((yield* run(all, { mode: "prove" })).verdict).toBe("passed")
        yield* database.query("insert into agents.notes (id, body) select i, 'b' from generate_series(26, 10001) i")
        for (const how of [{ mode: "prove" }, {}] as const) {
          const evidence = yield* run(all, how)
          expect(rules(evidence)).toEqual(["batches-missing"])
          expect(evidence.findings[0]?.what).toBe(
            "0003_fill changed 10001 rows in one transaction; 10000 are the most."
          )
        }
        expect(yield* database.query("select count(*)::int as n from agents.notes where author = 'x'")).toEqual([
          { n: 0 }
        ])
        expect(yield* appliedIn(database)).not.toContain("0003_fill")
        yield* database.query("delete from agents.notes where id > 10000")
        expect((yield* run(all)).verdict).toBe("passed")
      })
  )

  it.scopedLive("takes its first batch back when a live release's statement would not work behind it", () =>
    Effect.gen(function* () {
      const { database, run } = yield* filled
      // Stands for any effect of the rows on a statement: here a right that is lost with the first change.
      yield* database.query(
        `create function agents.shut() returns trigger language plpgsql security definer as $$ begin revoke insert on agents.notes from runtime; return new; end $$;
         create trigger shut after update on agents.notes for each statement execute function agents.shut();
         alter function agents.shut() owner to migrator`
      )
      const evidence = yield* run(next({ "0003_fill": batches(fill()) }))
      expect(rules(evidence)).toEqual(["right-lost"])
      expect(yield* database.query(bodies)).toEqual([{ body: "b", n: 25, transactions: 1 }])
    })
  )

  it.scopedLive("gives up at a row that somebody holds, keeps what was done, and goes on behind it", () =>
    Effect.gen(function* () {
      const { database, run } = yield* filled
      const release = next({ "0003_fill": batches(fill()) })
      const refused = yield* Effect.scoped(
        Effect.gen(function* () {
          const other = yield* Effect.acquireRelease(
            Effect.sync(() => new pg.Client({ connectionString: database.url })),
            (client) => Effect.promise(() => client.end())
          )
          yield* Effect.promise(() => other.connect())
          yield* Effect.promise(() => other.query("begin; select from agents.notes where id = 15 for update"))
          return yield* run(release)
        })
      )
      expect(rules(refused)).toEqual(["lock-not-obtained"])
      expect(yield* database.query("select count(*)::int as n from agents.notes where author = 'x'")).toEqual([
        { n: 10 }
      ])
      expect(yield* appliedIn(database)).not.toContain("0003_fill")
      expect((yield* run(release)).verdict).toBe("passed")
      expect(yield* database.query(bodies)).toMatchObject([{ body: "b.", n: 25 }])
    })
  )

  it.scopedLive("is refused when a batch changes more rows than it may, though the text says limit", () =>
    Effect.gen(function* () {
      const { database, run } = yield* filled
      const all = "update agents.notes set author = 'x' where author is null and exists (select 1 limit 10)"
      expect(rules(yield* run(next({ "0003_fill": batches(all) })))).toEqual(["batch-too-large"])
      expect(yield* database.query("select from agents.notes where author = 'x'")).toEqual([])
    })
  )

  it.scopedLive("is refused when it finds again what it has done", () =>
    Effect.gen(function* () {
      const { run } = yield* filled
      expect(rules(yield* run(next({ "0003_fill": batches(fill(10, "true")) })))).toEqual(["batches-endless"])
    })
  )

  it.scopedLive("is refused when one batch takes too long", () =>
    Effect.gen(function* () {
      const { run } = yield* filled
      const slow = fill().replace("order by", "and pg_sleep(1) is not null order by")
      const evidence = yield* run(next({ "0003_fill": batches(slow) }), { timing: { proofTimeout: "200 millis" } })
      expect(rules(evidence)).toEqual(["batch-too-long"])
    })
  )
})
