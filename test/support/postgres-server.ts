/** Starts the Postgres server that all tests of a run share, and tells them where it is. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import type { TestProject } from "vitest/node"
import { claimSubnet } from "../../src/rehearsal/net/Loopback.ts"
import { start } from "../../src/rehearsal/postgres/EmbeddedPostgres.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** A superuser's URL of the shared server, without a database name at its end: append one. */
    readonly postgres: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "agents-test-"))
  const scope = Effect.runSync(Scope.make())
  const server = await Effect.runPromise(
    Effect.gen(function* () {
      const subnet = yield* claimSubnet
      return yield* start({
        dataDir: join(folder, "data"),
        host: subnet.address(2),
        port: 5432,
        fsync: false,
        maxConnections: 300
      })
    }).pipe(Scope.extend(scope))
  )
  project.provide("postgres", server.url(""))
  return async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await rm(folder, { recursive: true, force: true })
  }
}
