import { expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { platformDatabase } from "../../../test/support/migrated-database.ts"
import { Database, fromUrl, layer } from "../Database.ts"
import { empty } from "./Scratch.ts"

const schemas = "select nspname from pg_namespace where nspname in ('agents', 'cluster', 'deliver_scratch')"

const made = Effect.gen(function* () {
  const database = yield* platformDatabase
  const session = Layer.build(layer(yield* fromUrl(database.urlOf("migrator")))).pipe(
    Effect.flatMap((context) => Context.get(context, Database).session)
  )
  return { database, session }
})

it.scopedLive("empties what a killed run left, and touches no schema of somebody else", () =>
  Effect.gen(function* () {
    const { database, session } = yield* made
    // A run that is killed: its session ends in the middle of its work.
    yield* Effect.scoped(
      Effect.gen(function* () {
        const doomed = yield* session
        yield* doomed.script("create schema agents; create table agents.notes (id bigint)")
        expect((yield* Effect.flip(empty(doomed, Effect.void))).message).toContain("no run of ours left it")
        yield* doomed.script("drop schema agents cascade")
        yield* empty(
          doomed,
          doomed
            .script("create schema agents; create table agents.notes (id bigint)")
            .pipe(Effect.zipRight(Effect.ignore(doomed.script("select pg_terminate_backend(pg_backend_pid())"))))
        )
      })
    )
    expect(yield* database.query(schemas)).toHaveLength(2)

    const next = yield* session
    expect(yield* empty(next, next.query<{ nspname: string }>(schemas))).toEqual([{ nspname: "deliver_scratch" }])
    expect(yield* database.query(schemas)).toEqual([])
  })
)

it.scopedLive("lets one run work at a time", () =>
  Effect.gen(function* () {
    const { session } = yield* made
    const [one, two] = [yield* session, yield* session]
    const beside = yield* empty(one, Effect.flip(empty(two, Effect.void)))
    expect(beside.message).toContain("Another run works in the scratch database")
    yield* empty(two, Effect.void)
  })
)
