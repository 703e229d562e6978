/** A database with its backup: what was accepted before a moment, what came after it, and servers that are restored to it. */
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import pg from "pg"
import { claimSubnet, type Subnet } from "../../src/rehearsal/net/Loopback.ts"
import * as Backup from "../../src/rehearsal/postgres/Backup.ts"
import * as EmbeddedPostgres from "../../src/rehearsal/postgres/EmbeddedPostgres.ts"
import { makeRoles, migrate, type Role, urlAs } from "./migrate.ts"

export const DATABASE = "effect_cluster"

export interface BackedUp {
  readonly server: EmbeddedPostgres.PostgresServer
  readonly subnet: Subnet
  readonly urlOf: (role: Role) => string
  readonly archive: string
  /** Copies the data folder as it is now; restores begin from the latest. */
  readonly backUp: Effect.Effect<void, EmbeddedPostgres.PostgresUnavailable>
  /** A server of its own, as the database was at the point. */
  readonly restore: (
    point: string,
    host: string,
    archive?: string
  ) => Effect.Effect<EmbeddedPostgres.PostgresServer, EmbeddedPostgres.PostgresUnavailable, Scope.Scope>
}

export const backedUp: Effect.Effect<BackedUp, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "agents-restore-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const archive = join(folder, "archive")
  yield* Effect.promise(() => mkdir(archive))
  const subnet = yield* Effect.orDie(claimSubnet)
  const dataDir = join(folder, "source", "data")
  const server = yield* EmbeddedPostgres.start({
    dataDir,
    host: subnet.address(2),
    port: 5432,
    fsync: false,
    settings: [...Backup.archiving(archive), "full_page_writes=on"]
  }).pipe(Effect.orDie)
  yield* makeRoles(server.url("postgres"))
  yield* Effect.promise(async () => {
    const admin = new pg.Client({ connectionString: server.url("postgres") })
    await admin.connect()
    await admin.query(`create database ${DATABASE} owner migrator`)
    await admin.end()
  })
  const urlOf = (role: Role) => urlAs(server.url(DATABASE), role)
  yield* migrate(urlOf("migrator"))
  let copies = 0
  const next = () => join(folder, `copy-${++copies}`, "data")
  let base = ""
  return {
    server,
    subnet,
    urlOf,
    archive,
    backUp: Effect.suspend(() => {
      base = join(folder, "base")
      return Effect.zipRight(
        Effect.promise(() => rm(base, { recursive: true, force: true })),
        Backup.baseBackup(server, dataDir, base)
      )
    }),
    restore: (point, host, from = archive) =>
      Effect.gen(function* () {
        const own = next()
        yield* Effect.promise(() => Backup.copyFolder(base, own))
        return yield* Backup.restored({
          dataDir: own,
          host,
          port: 5432,
          fsync: false,
          archive: from,
          point,
          password: server.password
        })
      })
  }
})
