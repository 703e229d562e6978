/** A database of its own for one test file or one test. */
import { Effect, type Scope } from "effect"
import pg from "pg"
import { inject } from "vitest"

export interface TestDatabase {
  readonly name: string
  readonly host: string
  readonly port: number
  /** A superuser's URL. */
  readonly url: string
  readonly query: <Row extends object = Record<string, unknown>>(
    text: string,
    values?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Row>>
}

/** Makes an empty database, and drops it (with whoever is still connected) when the scope closes. */
export const testDatabase: Effect.Effect<TestDatabase, never, Scope.Scope> = Effect.gen(function* () {
  const server = inject("postgres")
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`
  const admin = new pg.Client({ connectionString: `${server}postgres` })
  yield* Effect.acquireRelease(
    Effect.promise(async () => {
      await admin.connect()
      await admin.query(`create database ${name}`)
    }),
    () =>
      Effect.promise(async () => {
        await admin.query(`drop database ${name} with (force)`)
        await admin.end()
      })
  )
  const url = `${server}${name}`
  const pool = new pg.Pool({ connectionString: url, max: 3 })
  pool.on("error", () => {})
  yield* Effect.addFinalizer(() => Effect.promise(() => pool.end()))
  const { hostname, port } = new URL(url)
  return {
    name,
    host: hostname,
    port: Number(port),
    url,
    query: <Row extends object>(text: string, values: ReadonlyArray<unknown> = []) =>
      Effect.promise(async () => (await pool.query<Row>(text, [...values])).rows)
  }
})
