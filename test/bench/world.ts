/** What measurements share: a Postgres of their own that keeps its word (fsync), databases in it, and what processes used. */
import { readdirSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { cpus, tmpdir, totalmem } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import pg from "pg"
import { claimSubnet } from "../../src/rehearsal/net/Loopback.ts"
import * as EmbeddedPostgres from "../../src/rehearsal/postgres/EmbeddedPostgres.ts"
import { makeRoles, migrate, urlAs } from "../support/migrate.ts"

/** A positive number from the environment; anything else ends the process with 2 and says so. */
export const number = (name: string, fallback: number): number => {
  const given = process.env[name]
  if (given === undefined || given === "") return fallback
  if (Number(given) > 0) return Number(given)
  process.stderr.write(`${name} is "${given}" and must be a number above 0.\n`)
  process.exit(2)
}

export const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}
export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

export const machine = () =>
  `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} processors, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`

export const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "agents-bench-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** `kept`: a folder that stays when the scope ends, with all databases that were made in it. `settings`: further ones of Postgres. */
export const worldOf = (options: { readonly kept?: string | undefined; readonly settings?: ReadonlyArray<string> }) =>
  Effect.gen(function* () {
    const place = options.kept ?? (yield* folder)
    const subnet = yield* Effect.orDie(claimSubnet)
    const server = yield* EmbeddedPostgres.start({
      dataDir: join(place, "data"),
      host: subnet.address(2),
      port: 5432,
      maxConnections: 200,
      settings: ["shared_preload_libraries=pg_stat_statements", ...(options.settings ?? [])]
    })
    yield* makeRoles(server.url("postgres"))
    const admin = new pg.Pool({ connectionString: server.url("postgres"), max: 2 })
    yield* Effect.addFinalizer(() => Effect.promise(() => admin.end()))
    const query = <Row extends object>(text: string, values: ReadonlyArray<unknown> = []) =>
      Effect.promise(async () => (await admin.query<Row>(text, [...values])).rows)
    yield* query("create extension if not exists pg_stat_statements")
    return {
      subnet,
      server,
      query,
      /** Runs statements in a database, each by itself, as the superuser. */
      within: (name: string, ...statements: ReadonlyArray<string>) =>
        Effect.acquireUseRelease(
          Effect.sync(() => new pg.Client({ connectionString: server.url(name) })),
          (client) =>
            Effect.promise(async () => {
              await client.connect()
              for (const statement of statements) await client.query(statement)
            }),
          (client) => Effect.promise(() => client.end())
        ),
      /** An empty database that belongs to `migrator`. */
      emptyDatabase: (name: string) =>
        Effect.as(query(`create database ${name} owner migrator`), urlAs(server.url(name), "migrator")),
      /** A database as the migration step leaves it; the URL is that of the role `runtime`. */
      migratedDatabase: (name: string) =>
        Effect.gen(function* () {
          yield* query(`create database ${name} owner migrator`)
          yield* migrate(urlAs(server.url(name), "migrator"))
          return urlAs(server.url(name), "runtime")
        })
    }
  })
export const world = worldOf({})
export type World = Effect.Effect.Success<typeof world>

const stat = (pid: number) => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? []
    return { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }
  } catch {
    return undefined
  }
}

/** Processor time in ms that these processes had so far, their living children included. Linux counts in 10 ms. */
export const cpuMillis = (roots: ReadonlyArray<number>): number => {
  const all = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const found = stat(Number(name))
        return found === undefined ? [] : [[Number(name), found] as const]
      })
  )
  const under = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 1 && (roots.includes(pid) || under(all.get(pid)?.parent))
  return [...all].reduce((sum, [pid, { ticks }]) => (under(pid) ? sum + ticks * 10 : sum), 0)
}

/** Processor time in ms that the whole machine spent so far. */
export const machineMillis = (): number => {
  const [user = 0, nice = 0, system = 0, , , irq = 0, soft = 0] = (
    /^cpu +(.*)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? ""
  )
    .split(" ")
    .map(Number)
  return (user + nice + system + irq + soft) * 10
}
