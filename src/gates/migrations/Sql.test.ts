import { describe, expect, it } from "@effect/vitest"
import { canPrepare, split } from "./Sql.ts"

describe("split", () => {
  it.each([
    ["plain statements", "select 1; select 2", ["select 1", "select 2"]],
    ["a semicolon in a string", "select ';'; select 'it''s; so'", ["select ';'", "select 'it''s; so'"]],
    ["an escape string", "select E'\\';'; select 2", ["select E'\\';'", "select 2"]],
    ["a quoted name", 'select ";"; select 2', ['select ";"', "select 2"]],
    ["comments", "-- one; two\nselect 1; /* a; /* b; */ c; */ select 2", ["select 1", "select 2"]],
    ["a body", "do $$ begin; end $$; select $a$ ; $$ ; $a$", ["do $$ begin; end $$", "select $a$ ; $$ ; $a$"]],
    ["parameters", "select $1; select $2", ["select $1", "select $2"]],
    ["nothing", " ; -- only a comment\n;", []]
  ])("keeps %s whole", (_, sql, expected) => {
    expect(split(sql).map(({ text }) => text)).toEqual(expected)
  })

  it("says the line of each statement, past comments", () => {
    expect(split("-- a\n\nselect 1;\n-- b\nselect\n2").map(({ line }) => line)).toEqual([3, 5])
  })

  it("shows words outside of comments and strings, and inside of bodies", () => {
    const words = split("ALTER /* drop */ TABLE a -- drop\n ADD b text default 'drop'")[0]!.words
    expect(words).toBe("alter table a add b text default ''")
    expect(split("do $$ COMMIT; $$")[0]!.words).toBe("do $$ commit; $$")
  })
})

describe("canPrepare", () => {
  it.each([
    ["with a as (select 1) select * from a", true],
    ["(select 1)", true],
    ["-- hot query\ninsert into a values ($1)", true],
    ["listen events", false],
    ["create table if not exists a ()", false],
    ["", false]
  ])("%s: %s", (sql, expected) => {
    expect(canPrepare(sql)).toBe(expected)
  })
})
