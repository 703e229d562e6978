/**
 * `make migrations`: this commit's migrations from first to last, on a Postgres that is started for it and thrown away.
 *
 * The commands of the pipeline, with a scratch database: all migrations are linted, proven and applied, and what stands there then
 * is compared with the history. Ends as they do: 10 when a migration is refused. (What each would lock in a database that is in use, a
 * test says: src/gates/migrations/LockTrace.test.ts. Here nobody uses a table yet.)
 */
import { spawnSync } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import pg from "pg"
import { ExitCode } from "../src/domain/ExitCode.ts"
import { claimSubnet } from "../src/rehearsal/net/Loopback.ts"
import * as Platform from "../src/rehearsal/Platform.ts"
import * as EmbeddedPostgres from "../src/rehearsal/postgres/EmbeddedPostgres.ts"

const LIVE = "migrations"
const SCRATCH = "migrations_scratch"
const TIMEOUT_MS = 300_000

/** Runs a verb of `deliver` from this checkout, and says what it ended with. */
const deliver = (words: ReadonlyArray<string>): number => {
  const child = spawnSync(
    process.execPath,
    [fileURLToPath(new URL("../src/bin/deliver.ts", import.meta.url)), ...words],
    { stdio: "inherit", timeout: TIMEOUT_MS }
  )
  return child.status ?? ExitCode.toolFailed
}

const program = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "agents-migrations-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const subnet = yield* claimSubnet
  const server = yield* EmbeddedPostgres.start({
    dataDir: join(folder, "data"),
    host: subnet.address(2),
    port: 5432,
    fsync: false
  })
  // Its roles are the platform's, as the migrations want them.
  yield* Platform.make(server)
  yield* Effect.promise(async () => {
    const admin = new pg.Client({ connectionString: server.url("postgres") })
    await admin.connect()
    try {
      for (const database of [LIVE, SCRATCH]) await admin.query(`create database ${database} owner migrator`)
      await admin.query("alter role migrator password 'migrator'")
    } finally {
      await admin.end()
    }
  })
  const url = (database: string) => `postgres://migrator:migrator@${server.host}:${server.port}/${database}`
  const where = ["--database-url", url(LIVE), "--scratch-url", url(SCRATCH)]
  const applied = deliver(["migrate", "up", ...where])
  return applied === ExitCode.passed ? deliver(["gate", "migrations", ...where]) : applied
}).pipe(Effect.scoped)

process.exitCode = await Effect.runPromise(program).catch((error: unknown) => {
  process.stderr.write(`The migrations could not be tried: ${error instanceof Error ? error.message : String(error)}\n`)
  return ExitCode.toolFailed
})
