import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import pg from "pg"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import { HostAddress } from "../host/Host.ts"
import { type Host, HostFailed } from "../host/HostClient.ts"
import { take } from "./Runtimes.ts"

const address = HostAddress.make({ pid: 0, url: "http://127.0.0.1:0", token: "", databaseUrl: "" })
/** A host whose only call is a question to a database. */
const asking = (answer: (text: string) => Effect.Effect<ReadonlyArray<object>, HostFailed>): Host => ({
  address,
  call: (_, input) =>
    Effect.map(answer((input as { readonly text: string }).text), (rows) => ({ rows })) as Effect.Effect<
      never,
      HostFailed
    >
})

/** A runner's session, which holds the shards of these numbers. */
const session = (url: string, name: string, locks: ReadonlyArray<number>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: url, application_name: name })
      await client.connect()
      for (const lock of locks) await client.query("select pg_advisory_lock($1)", [lock])
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )

describe("what a target's database says", () => {
  it.scopedLive("names the owners of each group's shards, and groups that nobody owns", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const host = asking((text) => database.query(text, ["%"]))
      const empty = { target: "dev", runners: [], groups: [], shards: [], open: [], problem: null }
      expect(yield* take(host, ["dev"])).toEqual([empty])

      const surface = (...groups: ReadonlyArray<string>) =>
        JSON.stringify({ sharding: { groups, shardsPerGroup: 300 } })
      yield* database.query(
        `insert into agents.releases (release, surface, state, recorded_at) values
          ('old', $1, 'deployed', now() - interval '1 hour'), ('new', $2, 'deploying', now()), ('gone', $3, 'retired', now() + interval '1 hour')`,
        [surface("default"), surface("default", "enterprise"), surface("x")]
      )
      yield* database.query("insert into agents.runners (runner, release, carries) values ('runtime-0', 'new', '[]')")
      yield* session(database.url, "runtime-0.a", [1_000_001, 1_000_002, 2_000_001])
      // A shard of a group that the newest release does not know, and a lock that is no shard.
      yield* session(database.url, "runtime-1.b", [1_000_003, 3_000_001, 42])
      expect(yield* take(host, ["dev"])).toEqual([
        {
          ...empty,
          runners: [{ name: "runtime-0", release: "new" }],
          groups: ["default", "enterprise"],
          shards: [
            { owner: "runtime-0.a", group: "default", shards: 2 },
            { owner: "runtime-1.b", group: "default", shards: 1 },
            { owner: "runtime-0.a", group: "enterprise", shards: 1 },
            { owner: "runtime-1.b", group: "group 3", shards: 1 }
          ]
        }
      ])
    })
  )

  it.effect("says why it could not be asked", () =>
    Effect.gen(function* () {
      const host = asking(() => new HostFailed({ message: "connection refused", gone: false }))
      expect(yield* take(host, ["dev"])).toMatchObject([{ target: "dev", problem: "connection refused", runners: [] }])
    })
  )
})
