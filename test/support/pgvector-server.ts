/**
 * A Postgres that offers pgvector, as the shared server of the tests does not: PGlite, in this process, on loopback. It has one
 * session, whoever connects: use no more than one connection at a time. `as` says by which role it acts.
 */
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { createServer, type Socket } from "node:net"
import { PGlite } from "@electric-sql/pglite"
import { vector } from "@electric-sql/pglite-pgvector"
import { Effect, type Scope } from "effect"

export interface PgvectorServer {
  readonly url: string
  readonly as: (role: "migrator" | "postgres" | "runtime") => Effect.Effect<void>
  readonly run: (script: string) => Effect.Effect<void>
  readonly query: <Row extends object>(
    text: string,
    values?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Row>>
}

/** With the roles that the platform makes, and without any schema of ours. */
export const pgvectorServer: Effect.Effect<PgvectorServer, never, Scope.Scope> = Effect.gen(function* () {
  const database = yield* Effect.acquireRelease(
    Effect.promise(() => PGlite.create({ extensions: { vector } })),
    (made) => Effect.promise(() => made.close())
  )
  const sockets = new Set<Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const made = createServer((socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket)).on("error", () => {})
        let work = Promise.resolve()
        socket.on("data", (data) => {
          work = work
            .then(async () => void socket.write(await database.execProtocolRaw(new Uint8Array(data))))
            .catch(() => void socket.destroy())
        })
      }).listen(0, "127.0.0.1")
      await once(made, "listening")
      return made
    }),
    (made) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        made.close()
      })
  )
  const run = (script: string) => Effect.promise(() => database.exec(script)).pipe(Effect.asVoid)
  yield* run(
    `create role migrator; create role runtime; create role reader; create role drill; grant runtime to migrator;
     alter database postgres owner to migrator; set search_path to cluster, agents`
  )
  return {
    url: `postgres://postgres@127.0.0.1:${(server.address() as AddressInfo).port}/postgres`,
    as: (role) => run(`set role ${role}`),
    run,
    query: <Row extends object>(text: string, values: ReadonlyArray<unknown> = []) =>
      Effect.promise(async () => (await database.query<Row>(text, [...values])).rows)
  }
})
