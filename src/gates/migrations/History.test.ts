import { describe, expect, it } from "@effect/vitest"
import { plan } from "./History.ts"
import { type MigrationFile, parse } from "./MigrationFile.ts"

const file = (name: string, sql = "create table agents.a (id int);", headers = "-- phase: expand\n"): MigrationFile =>
  parse(name, `/image/migrations/${name}.sql`, `${headers}-- Up Migration\n${sql}`)

const fill = "update agents.a set b = 1 where id in (select id from agents.a where b is null order by id limit 5)"
const one = file("0001_one")
const two = file("0002_two")
const three = file("0003_three")

const sums = (...files: ReadonlyArray<MigrationFile>) => new Map(files.map(({ name, sha256 }) => [name, sha256]))
const history = (...files: ReadonlyArray<MigrationFile>) => ({
  applied: files.map(({ name }) => name),
  checksums: sums(...files)
})

const rules = (result: ReturnType<typeof plan>) =>
  result._tag === "Refuse" || result._tag === "Older" ? result.findings.map(({ rule }) => rule) : []

describe("plan", () => {
  it("applies everything to an empty database, in order of the numbers", () => {
    const ten = file("0010_ten")
    expect(plan([ten, two, one], history())).toEqual({ _tag: "Apply", pending: [one, two, ten] })
  })

  it("applies only what is new", () => {
    expect(plan([one, two, three], history(one, two))).toEqual({ _tag: "Apply", pending: [three] })
  })

  it("has nothing to do when all is applied", () => {
    expect(plan([one, two], history(one, two))).toEqual({ _tag: "UpToDate" })
  })

  it("does nothing for an older image: a rollback runs its hooks again", () => {
    expect(plan([one], history(one, two, three))).toEqual({
      _tag: "Older",
      newer: ["0002_two", "0003_three"],
      findings: []
    })
  })

  it("lets an older image pass with a note when its history differs, since nothing is applied", () => {
    const result = plan([file("0001_one", "create table agents.b ();")], history(one, two))
    expect(result._tag).toBe("Older")
    expect(rules(result)).toEqual(["history-edited"])
  })

  it("trusts a migration that was applied before checksums were kept", () => {
    expect(plan([one, two], { applied: ["0001_one"], checksums: new Map() })).toEqual({ _tag: "Apply", pending: [two] })
  })

  it.each([
    ["an edited migration", [file("0001_one", "create table agents.b ();"), two], history(one), ["history-edited"]],
    ["a migration inserted before an applied one", [one, two, three], history(one, three), ["history-inserted"]],
    ["a deleted migration", [one, three], history(one, two, three), ["history-missing"]],
    ["two branches", [one, file("0003_other")], history(one, two), ["history-missing"]],
    ["a number taken twice", [one, file("0002_also"), two], history(one), ["number-taken"]],
    ["a number that is taken already", [one, file("0002_zwei"), two], history(one, two), ["number-taken"]],
    ["a file without a phase", [file("0001_one", undefined, "")], history(), ["phase-header"]],
    ["an unknown phase", [file("0001_one", undefined, "-- phase: extend\n")], history(), ["phase-header"]],
    [
      "a phase that stands in the middle",
      [file("0001_one", "create table a ();\n-- phase: expand", "")],
      history(),
      ["phase-header"]
    ],
    [
      "a down part",
      [file("0001_one", "create table a ();\n-- Down Migration\ndrop table a;")],
      history(),
      ["forward-only"]
    ],
    ["a file without statements", [file("0001_one", "")], history(), ["empty-migration"]],
    ["a COMMIT", [file("0001_one", "create table a ();\n-- x\nCOMMIT;")], history(), ["own-transaction"]],
    [
      "an altered engine table",
      [file("0001_one", "alter table cluster.cluster_messages add x int")],
      history(),
      ["engine-tables"]
    ],
    [
      "an engine table in a body",
      [file("0001_one", "do $$ begin update cluster_replies set acked = true; end $$")],
      history(),
      ["engine-tables"]
    ],
    [
      "a dropped engine schema",
      [file("0001_one", "drop schema if exists cluster cascade")],
      history(),
      ["engine-tables"]
    ],
    [
      "CONCURRENTLY in a transaction",
      [file("0001_one", "create index concurrently if not exists i on agents.a (id)")],
      history(),
      ["concurrently-alone"]
    ],
    [
      "CONCURRENTLY that can't be run again",
      [file("0001_one", "create index concurrently i on agents.a (id)", "-- phase: expand\n-- transaction: none\n")],
      history(),
      ["resumable"]
    ],
    [
      "two statements without a transaction",
      [
        file(
          "0001_one",
          "create index concurrently if not exists i on agents.a (id); select 1",
          "-- phase: expand\n-- transaction: none\n"
        )
      ],
      history(),
      ["resumable"]
    ]
  ])("refuses %s", (_, files, state, expected) => {
    const result = plan(files, state)
    expect(result._tag).toBe("Refuse")
    expect(rules(result)).toEqual(expected)
  })

  it.each([
    ["grants on the engine's tables", "grant select on all tables in schema cluster to reader"],
    ["default privileges", "alter default privileges in schema cluster grant select on tables to reader"],
    [
      "the engine's name in a string or a comment",
      "insert into agents.a values ('cluster.x'); -- cluster.cluster_messages"
    ],
    ["a body with its own begin", "do $$ begin perform 1; end $$"]
  ])("accepts %s", (_, sql) => {
    expect(plan([file("0001_one", sql)], history())._tag).toBe("Apply")
  })

  it("has one checksum for both kinds of line ends", () => {
    expect(parse("a", "a", "select 1;\r\nselect 2;").sha256).toBe(parse("a", "a", "select 1;\nselect 2;").sha256)
  })

  it.each([
    ["batches of a contract step", "-- phase: contract\n-- batches: 5\n", fill],
    ["batches without a size", "-- phase: backfill\n-- batches: some\n", fill],
    ["batches that are no short transactions", "-- phase: backfill\n-- batches: 10001\n", fill],
    ["batches of two statements", "-- phase: backfill\n-- batches: 5\n", `${fill}; ${fill}`],
    ["batches of a query", "-- phase: backfill\n-- batches: 5\n", "select 1 limit 5"],
    ["batches without a limit", "-- phase: backfill\n-- batches: 5\n", "update agents.a set b = 1 where b is null"],
    ["batches with another limit", "-- phase: backfill\n-- batches: 50\n", fill],
    [
      "batches with the limit in a comment",
      "-- phase: backfill\n-- batches: 5\n",
      "update agents.a set b = 1 -- limit 5"
    ],
    ["batches past locked rows", "-- phase: backfill\n-- batches: 5\n", fill.replace(")", " for update skip locked)")]
  ])("refuses %s", (_, headers, sql) => {
    expect(rules(plan([file("0001_one", sql, headers)], history()))).toEqual(["batches"])
  })

  it("accepts a backfill in batches that limits them as it says", () => {
    expect(plan([file("0001_one", fill, "-- phase: backfill\n-- batches: 5\n")], history())).toMatchObject({
      _tag: "Apply",
      pending: [{ batches: 5 }]
    })
  })
})
