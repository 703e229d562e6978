import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import pg from "pg"
import { migratedDatabase } from "../../test/support/migrated-database.ts"
import { startOrders } from "../../test/support/open-work.ts"
import { libraryStatements } from "./Library.ts"

/** Values and lists that the library writes into a statement's text stand for themselves no more. */
const pattern = (text: string) =>
  text
    .trim()
    .replace(/\s+/g, " ")
    .replace(/"default:\d+"/g, '"default:n"')
    .replace(/'[^']*'/g, "'…'")
    .replace(/\b\d+\b/g, "n")
    .replace(/\(\s*(n|'…'|\$n)(\s*,\s*(n|'…'|\$n))*\s*\)/g, "(…)")
    .replace(/(pg_try_advisory_lock\(…\) AS "default:n"(, )?)+/g, "pg_try_advisory_lock(…)")

it.scoped("records the same statements each time", () =>
  Effect.gen(function* () {
    const [one, two] = yield* Effect.all([libraryStatements, libraryStatements])
    expect(one).toEqual(two)
    expect(one.length).toBeGreaterThan(30)
    expect(new Set(one.map(({ name }) => name)).size).toBe(one.length)
  })
)

it.scopedLive("records statements that Postgres can prepare against the migrated schema", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const statements = yield* libraryStatements
    const client = new pg.Client({ connectionString: database.url, options: "-c search_path=agents,cluster" })
    yield* Effect.promise(async () => {
      await client.connect()
      try {
        for (const [index, { name, text }] of statements.entries()) {
          await client.query(`prepare s${index} as ${text}`).catch((cause: Error) => {
            throw new Error(`${name}: ${cause.message}`)
          })
        }
      } finally {
        await client.end()
      }
    })
  })
)

it.scopedLive("records everything that the library sends while it runs workflows on Postgres", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const sent = new Set<string>()
    const query = pg.Client.prototype.query
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        pg.Client.prototype.query = function (this: pg.Client, ...args: ReadonlyArray<unknown>) {
          const [first] = args
          const text = typeof first === "string" ? first : (first as { readonly text?: string })?.text
          if (text !== undefined) sent.add(text)
          return Reflect.apply(query, this, args)
        } as typeof query
      }),
      () => Effect.sync(() => (pg.Client.prototype.query = query))
    )
    yield* startOrders(database, [
      { tenant: "acme", id: "a", wait: "approval" },
      { tenant: "acme", id: "b", wait: "clock" }
    ])
    const known = new Set((yield* libraryStatements).map(({ text }) => pattern(text)))
    const unknown = [...sent]
      .filter((text) => /\b(cluster_(messages|replies|runners)|advisory)\b/.test(text))
      .filter((text) => /^\s*(select|insert|update|delete|with)/i.test(text))
      // What the test's own wait asks.
      .filter((text) => !text.includes("cluster.cluster_"))
      .map(pattern)
      .filter((text) => !known.has(text))
    expect(unknown).toEqual([])
    expect([...sent].filter((text) => text.includes("cluster_messages")).length).toBeGreaterThan(4)
  })
)
