import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, Ref } from "effect"
import pg from "pg"
import { testDatabase } from "../../test/support/database.ts"
import { until } from "../../test/support/wait.ts"
import * as Database from "./Database.ts"
import { file, RotatingPool } from "./Secrets.ts"
import type { DatabaseSettings } from "./Settings.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "agents-secrets-"))),
  (made) => Effect.promise(() => rm(made, { recursive: true, force: true }))
)

const write = (path: string, value: string) => Effect.promise(() => writeFile(path, `${value}\n`))

it.scopedLive("reads a secret anew, and keeps the value before and the last one that could be read", () =>
  Effect.gen(function* () {
    const path = join(yield* folder, "key")
    yield* write(path, "one")
    const secret = file(path)
    expect(Redacted.value(secret.current())).toBe("one")
    expect(secret.previous()).toBeUndefined()
    yield* write(path, "two")
    expect(Redacted.value(secret.current())).toBe("two")
    expect(secret.previous()).toEqual(Redacted.make("one"))
    yield* Effect.promise(() => rm(path))
    expect(Redacted.value(secret.current())).toBe("two")
    expect(() => file(path).current()).toThrow("ENOENT")
    expect(JSON.stringify(secret.current())).not.toContain("two")
  })
)

describe("a pool whose password rotates", () => {
  /** A role of its own, a process with a pool, and queries without a pause. */
  const world = Effect.gen(function* () {
    const database = yield* testDatabase
    const role = `rotating_${crypto.randomUUID().replaceAll("-", "")}`
    yield* Effect.acquireRelease(database.query(`create role ${role} login password 'first'`), () =>
      database.query(`drop role ${role}`)
    )
    const path = join(yield* folder, "password")
    yield* write(path, "first")
    const settings: DatabaseSettings = {
      host: database.host,
      port: database.port,
      database: database.name,
      username: role,
      password: file(path).current,
      tls: false
    }
    const served = yield* Ref.make(0)
    const failed = yield* Ref.make<ReadonlyArray<string>>([])
    const query = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select pg_sleep(0.005)`).pipe(
      Effect.andThen(Ref.update(served, (count) => count + 1)),
      Effect.tapError((error) => Ref.update(failed, (all) => [...all, String(error.cause)])),
      Effect.ignore
    )
    const load = Effect.forever(Effect.all([query, query, query, query], { concurrency: 4 })).pipe(
      Effect.provide(Database.layer(settings, { applicationName: role, maxConnections: 4 }))
    )
    return {
      role,
      path,
      failed,
      load,
      served: Ref.get(served),
      more: Effect.flatMap(Ref.get(served), (before) =>
        until("queries with new connections", Ref.get(served), (count) => count > before + 40)
      ),
      alter: (password: string) => database.query(`alter role ${role} password '${password}'`),
      /** Ends connections at rest, so that the next query needs a new one, and none is cut. */
      dropIdle: database.query(
        `select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = $1 and state = 'idle'`,
        [role]
      ),
      connects: (password: string) =>
        Effect.promise(async () => {
          const client = new pg.Client({
            host: database.host,
            port: database.port,
            database: database.name,
            user: role,
            password
          })
          try {
            await client.connect()
            return "accepted"
          } catch (error) {
            return (error as { code?: string }).code ?? String(error)
          } finally {
            await client.end().catch(() => {})
          }
        })
    }
  })

  for (const order of ["the role first", "the file first"] as const) {
    it.scopedLive(`serves every query when ${order} changes, and leaves the old password useless`, () =>
      Effect.gen(function* () {
        const { alter, connects, dropIdle, failed, load, more, path } = yield* world
        const running = yield* Effect.fork(load)
        yield* more
        const halves = [alter("second"), write(path, "second")]
        for (const half of order === "the role first" ? halves : halves.reverse()) {
          yield* half
          yield* Effect.all([dropIdle, dropIdle])
          yield* Effect.fork(more)
        }
        yield* dropIdle
        yield* more
        expect(yield* connects("first")).toBe("28P01")
        expect(yield* connects("second")).toBe("accepted")
        // A connection that was ended at rest may be met in the moment of its use; a refused password never may.
        expect((yield* Ref.get(failed)).filter((cause) => /password|authenticat/i.test(cause))).toEqual([])
        yield* Fiber.interrupt(running)
      })
    )
  }

  it.scopedLive("fails at once when the password was wrong from the start", () =>
    Effect.gen(function* () {
      const { load, path } = yield* world
      yield* write(path, "wrong")
      const outcome = yield* Effect.either(load).pipe(Effect.timeout("4 seconds"))
      expect(String(outcome)).toContain("did not accept user")
    })
  )
})

describe("a server that stops in the moment in which it lets a client in", () => {
  const message = (kind: string, body: Buffer) => {
    const head = Buffer.alloc(5)
    head.write(kind)
    head.writeInt32BE(body.length + 4, 1)
    return Buffer.concat([head, body])
  }
  const welcome = Buffer.concat([message("R", Buffer.alloc(4)), message("Z", Buffer.from("I"))])
  const stops = message("E", Buffer.from("SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"))

  it.scopedLive("fails the statement that wanted the connection, and does not end the process", () =>
    Effect.gen(function* () {
      const ended: Array<Error> = []
      const note = (error: Error) => ended.push(error)
      process.on("uncaughtExceptionMonitor", note)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.off("uncaughtExceptionMonitor", note)))
      const server = createServer((socket) => {
        socket.on("error", () => {})
        // In one piece: so no turn of the event loop lies in between.
        socket.once("data", () => socket.end(Buffer.concat([welcome, stops])))
      })
      yield* Effect.acquireRelease(
        Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => server.close())
      )
      const { port } = server.address() as AddressInfo
      const pool = new RotatingPool({ host: "127.0.0.1", port, user: "a", database: "a" }, () => Redacted.make("a"))
      pool.on("error", () => {})
      yield* Effect.addFinalizer(() => Effect.promise(() => pool.end()))
      const asked = yield* Effect.either(Effect.tryPromise(() => pool.query("select 1")))
      expect(asked._tag).toBe("Left")
      expect(ended).toEqual([])
    })
  )
})
