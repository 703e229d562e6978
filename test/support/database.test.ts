import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { testDatabase } from "./database.ts"

it.scoped("gives each test a Postgres 16 database of its own", () =>
  Effect.gen(function* () {
    const [one, two] = yield* Effect.all([testDatabase, testDatabase])
    yield* one.query("create table only_here (id int)")
    const [seen] = yield* two.query<{ version: number; found: boolean }>(
      "select current_setting('server_version_num')::int / 10000 as version, to_regclass('only_here') is not null as found"
    )
    expect(seen).toEqual({ version: 16, found: false })
  })
)
