/** The migration verbs as they are shipped: the bundle of the image, its own migrations and surface, a real database. */
import { type ChildProcess, spawn } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import pg from "pg"
import { afterAll, beforeAll } from "vitest"
import type { TestDatabase } from "./support/database.ts"
import { platformDatabase } from "./support/migrated-database.ts"

const repository = resolve(import.meta.dirname, "..")
const folder = mkdtempSync(join(tmpdir(), "migrations-image-"))
const image = join(folder, "image")

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) => {
  const child = spawn(process.execPath, [...args], { env: { PATH: process.env["PATH"], ...env }, cwd: folder })
  let stdout = ""
  let stderr = ""
  child.stdout.on("data", (chunk) => (stdout += chunk))
  child.stderr.on("data", (chunk) => (stderr += chunk))
  const ended = new Promise<Ended>((done) => child.once("close", (code) => done({ code, stdout, stderr })))
  return { child, ended: Effect.promise(() => ended) } satisfies { child: ChildProcess; ended: Effect.Effect<Ended> }
}

const deliver = (words: string, env: Readonly<Record<string, string>> = {}, root = image) =>
  start([join(image, "deliver.js"), ...words.split(" ")], { AGENT_IMAGE_ROOT: root, ...env }).ended

/** Another release: this one's files, changed. */
const release = (
  commit: string,
  migrations: Readonly<Record<string, string>>,
  change: (surface: Surface) => Surface
) => {
  const root = join(folder, commit)
  cpSync(image, root, { recursive: true, filter: (path) => !path.includes("deliver") && !path.endsWith(".map") })
  for (const [name, sql] of Object.entries(migrations)) writeFileSync(join(root, "migrations", name), sql)
  const surface = JSON.parse(readFileSync(join(root, "surface.json"), "utf8")) as Surface
  writeFileSync(join(root, "surface.json"), JSON.stringify(change(surface)))
  writeFileSync(join(root, "release.json"), JSON.stringify({ commit }))
  return root
}
interface Surface {
  readonly statements: ReadonlyArray<{ readonly name: string; readonly text: string }>
}

/** The Secret of a role, as it is mounted. */
const secret = (database: TestDatabase, role: string) => {
  const mounted = join(folder, `${database.name}-${role}`)
  mkdirSync(mounted, { recursive: true })
  const files = {
    host: database.host,
    port: `${database.port}`,
    database: database.name,
    username: role,
    password: role
  }
  for (const [name, value] of Object.entries(files)) writeFileSync(join(mounted, name), `${value}\n`)
  return { DATABASE_SECRET_DIR: mounted }
}

beforeAll(async () => {
  const built = await Effect.runPromise(
    start([join(repository, "tools/build.ts"), "--out", image, "--commit", "first"], {}).ended
  )
  expect(built.code, built.stderr).toBe(0)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it.scopedLive("walks this commit's migrations through a database's life", () =>
  Effect.gen(function* () {
    const database = yield* platformDatabase
    const migrator = secret(database, "migrator")

    const early = yield* deliver("release list", migrator)
    expect(early).toMatchObject({ code: 12 })
    expect(early.stderr).toContain("is not migrated yet")
    const gate = yield* deliver("gate migrations", migrator)
    expect(gate.code, gate.stdout + gate.stderr).toBe(0)
    expect(yield* database.query("select to_regnamespace('agents') as found")).toEqual([{ found: null }])

    const first = yield* deliver("migrate up --json", { ...migrator, CLOUD_DEPLOY_TARGET: "dev" })
    expect(first.code, first.stdout + first.stderr).toBe(0)
    const evidence = JSON.parse(first.stdout)
    expect(evidence).toMatchObject({
      gate: "migrations",
      verdict: "passed",
      release: "first",
      target: "dev",
      findings: []
    })
    expect(evidence.checks).toContainEqual({
      name: "this release",
      result: expect.stringMatching(/^\d\d+ statements work, with the rights of role runtime$/)
    })
    expect(
      yield* database.query(
        "select tablename from pg_tables where schemaname = 'cluster' and tableowner = 'migrator' order by 1"
      )
    ).toEqual(
      ["cluster_locks", "cluster_messages", "cluster_migrations", "cluster_replies", "cluster_runners"].map(
        (tablename) => ({
          tablename
        })
      )
    )
    expect(
      yield* database.query(
        "select has_table_privilege('runtime', 'cluster.cluster_messages', 'insert') as may, has_table_privilege('reader', 'agents.evidence', 'insert') as note"
      )
    ).toEqual([{ may: true, note: true }])
    expect(yield* deliver("migrate up", migrator)).toMatchObject({ code: 0 })

    // Of a canary's phases only the last one deploys.
    const canary = yield* deliver("release record", { ...migrator, CLOUD_DEPLOY_PHASE: "one-replica" })
    expect(canary).toMatchObject({ code: 0, stdout: "first  deploying\n" })
    const stable = yield* deliver("release record --rollout r-1", { ...migrator, CLOUD_DEPLOY_PHASE: "stable" })
    expect(stable).toMatchObject({ code: 0, stdout: "first  deploying -> deployed\n" })

    const unread = yield* deliver("migrate up", secret(database, "runtime"))
    expect(unread).toMatchObject({ code: 12 })
    expect(unread.stderr).toContain("Role runtime may not do this")

    const drop = {
      "0900_drop_model.sql": "-- phase: contract\n-- Up Migration\nalter table agents.token_usage drop column model;\n"
    }
    const second = release("second", drop, (surface) => ({
      statements: surface.statements.filter(({ text }) => !text.includes("token_usage"))
    }))
    const refused = yield* deliver("migrate up", migrator, second)
    expect(refused.code, refused.stdout + refused.stderr).toBe(10)
    expect(refused.stdout).toContain("0900_drop_model would break statement")
    expect(refused.stdout).toContain("which release first (deployed) still runs")
    expect(yield* deliver("gate migrations", migrator, second)).toMatchObject({ code: 10 })
    const list = yield* deliver("release list --json", migrator)
    expect(JSON.parse(list.stdout)).toMatchObject({
      releases: [{ release: "first", state: "deployed", rollout: "r-1" }]
    })

    const status = yield* deliver("migrate status", migrator, second)
    expect(status.stdout).toMatch(/0900_drop_model +contract +new\n1 new\./)
  })
)

it.scopedLive(
  "tries migrations in the scratch database that the Secret names, and finds what was changed by hand",
  () =>
    Effect.gen(function* () {
      const database = yield* platformDatabase
      const scratch = yield* platformDatabase
      const migrator = secret(database, "migrator")
      const named = join(migrator.DATABASE_SECRET_DIR, "scratch-database")
      writeFileSync(named, `${scratch.name}\n`)

      const first = yield* deliver("migrate up --json", migrator)
      expect(first.code, first.stdout + first.stderr).toBe(0)
      const result = (check: string): string | undefined =>
        JSON.parse(first.stdout).checks.find(({ name }: { name: string }) => name === check)?.result
      expect(result("locks")).toContain("0012_closed_tenants: none that block")
      expect(result("drift")).toContain("against 0 migrations replayed: 0 differ")
      const again = yield* deliver("migrate up", migrator)
      expect(again.stdout).toMatch(/against \d\d migrations replayed: 0 differ/)
      expect(again.code).toBe(0)

      yield* database.query("alter table agents.runs add column by_hand text")
      const refused = yield* deliver("migrate up", migrator)
      expect(refused.stdout).toContain("agents.runs.by_hand")
      expect(refused.code).toBe(10)
      expect(yield* scratch.query("select to_regnamespace('agents') as left")).toEqual([{ left: null }])

      // The Secret is of another database.
      const other = yield* deliver(`gate migrations --database-url ${database.urlOf("migrator")}`, migrator)
      expect(other.stdout).toContain("no scratch database was given")
      writeFileSync(named, "\n")
      const empty = yield* deliver("migrate up", migrator)
      expect(empty.stderr).toContain(`${named} is empty`)
      expect(empty.code).toBe(12)
    })
)

it.scopedLive("leaves nothing half done when its process is killed in a migration", () =>
  Effect.gen(function* () {
    const database = yield* platformDatabase
    const migrator = secret(database, "migrator")
    expect((yield* deliver("migrate up", migrator)).code).toBe(0)
    const slow = "-- phase: expand\n-- Up Migration\ncreate table agents.half (id bigint);\nselect pg_sleep(60);\n"
    const root = release("slow", { "0900_slow.sql": slow }, (surface) => surface)
    const { child, ended } = start([join(image, "deliver.js"), "migrate", "up"], {
      AGENT_IMAGE_ROOT: root,
      ...migrator
    })
    const until = (condition: string) =>
      database.query<{ holds: boolean }>(`select (${condition}) as holds`).pipe(
        Effect.filterOrFail(([row]) => row?.holds === true),
        Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("15 seconds"))),
        Effect.orDie
      )
    const sessions = "from pg_stat_activity where datname = current_database() and application_name = 'deliver'"
    yield* until(`exists (select ${sessions} and wait_event = 'PgSleep')`)
    child.kill("SIGKILL")
    yield* ended
    // Long before the sleep would end: the server looks whether its client is still there.
    yield* until(`not exists (select ${sessions})`)
    expect(yield* database.query("select to_regclass('agents.half') as half")).toEqual([{ half: null }])
    expect((yield* deliver("migrate up", migrator)).code).toBe(0)
  })
)

it.scopedLive("goes on behind the last batch of a backfill when its process was killed in the middle", () =>
  Effect.gen(function* () {
    const database = yield* platformDatabase
    const migrator = secret(database, "migrator")
    const table =
      "-- phase: expand\n-- Up Migration\ncreate table agents.filled (id bigint primary key, times bigint not null default 0);\n"
    const first = release("filled", { "0900_filled.sql": table }, (surface) => surface)
    expect((yield* deliver("migrate up", migrator, first)).code).toBe(0)
    yield* database.query("insert into agents.filled (id) select generate_series(1, 1000)")
    const fill =
      "-- phase: backfill\n-- batches: 100\n-- Up Migration\nupdate agents.filled set times = times + 1\nwhere id in (select id from agents.filled where times = 0 order by id limit 100);\n"
    const second = release("fill", { "0900_filled.sql": table, "0901_fill.sql": fill }, (surface) => surface)

    const holder = new pg.Client({ connectionString: database.url })
    yield* Effect.promise(() => holder.connect())
    yield* Effect.promise(() => holder.query("begin; select from agents.filled where id = 350 for update"))
    const { child, ended } = start([join(image, "deliver.js"), "migrate", "up"], {
      AGENT_IMAGE_ROOT: second,
      ...migrator
    })
    const sessions = "from pg_stat_activity where datname = current_database() and application_name = 'deliver'"
    const until = (condition: string) =>
      database.query<{ holds: boolean }>(`select (${condition}) as holds`).pipe(
        Effect.filterOrFail(([row]) => row?.holds === true),
        Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("15 seconds"))),
        Effect.orDie
      )
    yield* until(`exists (select ${sessions} and wait_event_type = 'Lock')`)
    child.kill("SIGKILL")
    yield* ended
    yield* until(`not exists (select ${sessions})`)
    yield* Effect.promise(() => holder.end())
    const done =
      "select times::int as times, count(*)::int as n, max(id)::int as last from agents.filled group by 1 order by 1 desc"
    expect(yield* database.query(done)).toEqual([
      { times: 1, n: 300, last: 300 },
      { times: 0, n: 700, last: 1000 }
    ])
    expect((yield* deliver("migrate status", migrator, second)).stdout).toMatch(/0901_fill +backfill +new/)

    const again = yield* deliver("migrate up --json", migrator, second)
    expect(again.code, again.stdout + again.stderr).toBe(0)
    expect(JSON.parse(again.stdout).checks).toContainEqual({
      name: "batches of 0901_fill",
      result: expect.stringMatching(/^700 rows in 7 batches, /)
    })
    expect(yield* database.query(done)).toEqual([{ times: 1, n: 1000, last: 1000 }])
    expect(yield* database.query("select count(distinct xmin::text)::int as n from agents.filled")).toEqual([{ n: 10 }])
    expect((yield* deliver("migrate up", migrator, second)).code).toBe(0)
    expect(yield* database.query(done)).toEqual([{ times: 1, n: 1000, last: 1000 }])
  })
)

it.scopedLive("says what is missing, and ends with the code for it", () =>
  Effect.gen(function* () {
    const database = yield* platformDatabase
    const migrator = secret(database, "migrator")
    const expectEnd = (ended: Ended, code: number, words: string) => {
      expect(ended.stderr).toContain(words)
      expect(ended.code).toBe(code)
      expect(ended.stderr).not.toContain("    at ")
    }
    expectEnd(yield* deliver("migrate up"), 12, "Set DATABASE_SECRET_DIR")
    expectEnd(yield* deliver("migrate up --database-url nonsense"), 2, "It looks like postgres://")
    expectEnd(yield* deliver("migrate up --database-url postgres://a:secret@127.0.0.1:1/x"), 1, "can't be reached")
    expectEnd(yield* deliver("release record --state gone", migrator), 2, "--state gone is not one")
    expectEnd(yield* deliver("release record --state deployed --release nobody", migrator), 12, "is not migrated yet")
    const incomplete = secret(database, "reader")
    rmSync(join(incomplete.DATABASE_SECRET_DIR, "password"))
    expectEnd(yield* deliver("migrate status", incomplete), 12, join(incomplete.DATABASE_SECRET_DIR, "password"))
    const wrong = { ...secret(database, "drill") }
    writeFileSync(join(wrong.DATABASE_SECRET_DIR, "database"), "nowhere")
    expectEnd(yield* deliver("migrate status", wrong), 12, 'database "nowhere" does not exist')

    const broken = release("broken", {}, (surface) => surface)
    rmSync(join(broken, "migrations"), { recursive: true })
    expectEnd(yield* deliver("migrate up", migrator, broken), 12, "migrations of this release can't be read")
    const named = release("named", { "fix.sql": "select 1" }, (surface) => surface)
    expectEnd(yield* deliver("migrate up", migrator, named), 12, "is not named like a migration")
    const surface = release("surface", {}, () => ({ statements: "all" as never }))
    expectEnd(yield* deliver("migrate up", migrator, surface), 12, "surface.json is not a surface")
    const sha = release("sha", {}, (surface) => surface)
    writeFileSync(join(sha, "release.json"), "{")
    expectEnd(yield* deliver("migrate up", migrator, sha), 12, "release.json is not JSON")
    expect(yield* database.query("select to_regnamespace('agents') as found")).toEqual([{ found: null }])
  })
)
