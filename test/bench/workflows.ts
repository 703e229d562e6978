/**
 * `make bench`: workflows of two steps that do nothing, started and awaited, on one Postgres with fsync. Environment:
 *
 *     ROUNDS=3    each engine is started, measured and ended in turn, that often; the figures are medians of the rounds
 *     SECONDS=6   of each measurement: with 50 in flight, and with 1
 *     ONLY=ours   engines whose name holds this word
 *     OUT=docs    where `performance.md` and `performance.svg` are written; `OUT=-` writes nothing
 */
import { writeFile } from "node:fs/promises"
import { loadavg } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { dbos, type Engine, ours, type Running, restate, restateIsThere } from "./engines/Engine.ts"
import { floor } from "./floor.ts"
import { page, plot, type Row } from "./page.ts"
import { cpuMillis, machine, median, number, print, quantile, type World, world } from "./world.ts"

const rounds = number("ROUNDS", 3)
const seconds = number("SECONDS", 6)
const IN_FLIGHT = 50
const WARM_SECONDS = 4

/** What the runners, and with one process the clients, are told. */
const STOCK = { MESSAGE_STORAGE: "stock", STEP_ENGINE: "stock" }
const GROUP = { MESSAGE_STORAGE: "group", STEP_ENGINE: "stock" }
const JOURNAL = { MESSAGE_STORAGE: "group", STEP_ENGINE: "journal" }

const engines: ReadonlyArray<Engine> = [
  ours({ name: "ours, one process", database: "journal_local", runners: 0, env: JOURNAL }),
  ours({ name: "without journal, one process", database: "group_local", runners: 0, env: GROUP }),
  ours({ name: "stock Effect, one process", database: "stock_local", runners: 0, env: STOCK }),
  dbos,
  ours({ name: "ours, client and runner", database: "journal_remote", runners: 1, env: JOURNAL }),
  ours({ name: "ours, client and 3 runners", database: "journal_three", runners: 3, env: JOURNAL }),
  ours({ name: "without journal, client and runner", database: "group_remote", runners: 1, env: GROUP }),
  ours({ name: "stock Effect, client and runner", database: "stock_remote", runners: 1, env: STOCK }),
  ...(restateIsThere ? [restate] : [])
].filter(({ name }) => name.includes(process.env["ONLY"] ?? ""))

interface Sample {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly statements: number
  readonly commits: number
  readonly workerMs: number
  readonly driverMs: number
  readonly serverMs: number
}

/** What the database and the processes have done so far. */
const spent = (running: Running, { query, server }: World, database: string | undefined) =>
  Effect.gen(function* () {
    // Backends tell what they committed once a second at most.
    yield* Effect.sleep("1200 millis")
    const [row] = yield* query<{ statements: string; commits: string }>(
      `select d.xact_commit as commits,
         (select coalesce(sum(s.calls), 0) from pg_stat_statements s where s.dbid = d.datid) as statements
       from pg_stat_database d where d.datname = $1`,
      [database ?? null]
    )
    return {
      statements: Number(row?.statements),
      commits: Number(row?.commits),
      workers: cpuMillis(running.workers),
      driver: cpuMillis([running.driver]),
      server: cpuMillis([running.server ?? server.pid])
    }
  })

const sample = (engine: Engine, url: string, place: World) =>
  Effect.gen(function* () {
    const running = yield* engine.start(place, url)
    yield* running.run(IN_FLIGHT, WARM_SECONDS)
    const before = yield* spent(running, place, engine.database)
    const many = yield* running.run(IN_FLIGHT, seconds)
    const after = yield* spent(running, place, engine.database)
    const one = yield* running.run(1, seconds)
    const each = (key: keyof typeof before) => (after[key] - before[key]) / many.completed
    return {
      perSecond: many.completed / many.seconds,
      p50: quantile(one.latenciesMs, 0.5),
      p99: quantile(one.latenciesMs, 0.99),
      statements: each("statements"),
      commits: each("commits"),
      workerMs: each("workers"),
      driverMs: each("driver"),
      serverMs: each("server")
    } satisfies Sample
  }).pipe(Effect.scoped)

const program = Effect.gen(function* () {
  const [load = 0] = loadavg()
  const place = yield* world
  const urls = new Map<string, string>()
  for (const engine of engines) urls.set(engine.name, yield* engine.prepare(place))
  const floorUrl = yield* place.emptyDatabase("floor")
  const samples = new Map(engines.map(({ name }) => [name, [] as Array<Sample>]))
  const floors: Array<number> = []
  for (let round = 1; round <= rounds; round++) {
    for (const engine of engines) {
      const measured = yield* sample(engine, urls.get(engine.name) ?? "", place)
      samples.get(engine.name)?.push(measured)
      yield* print(
        `round ${round}  ${engine.name.padEnd(38)} ${measured.perSecond.toFixed(0).padStart(5)}/s  p50 ${measured.p50.toFixed(1)} ms  p99 ${measured.p99.toFixed(1)} ms`
      )
    }
    const at = yield* floor(floorUrl, seconds)
    if (at !== undefined) floors.push(at)
    yield* print(
      `round ${round}  ${"pgbench".padEnd(38)} ${at === undefined ? "is not installed" : `${at.toFixed(0)}/s`}`
    )
  }
  const [version] = yield* place.query<{ server_version: string }>("show server_version")
  const rows = engines.map(({ name }): Row => {
    const all = samples.get(name) ?? []
    const of = (key: keyof Sample) => median(all.map((each) => each[key]))
    return {
      name,
      perSecond: of("perSecond"),
      slowest: Math.min(...all.map(({ perSecond }) => perSecond)),
      fastest: Math.max(...all.map(({ perSecond }) => perSecond)),
      p50: of("p50"),
      p99: of("p99"),
      statements: of("statements"),
      commits: of("commits"),
      workerMs: of("workerMs"),
      driverMs: of("driverMs"),
      serverMs: of("serverMs")
    }
  })
  const report = {
    rows,
    floor: floors.length === 0 ? undefined : median(floors),
    rounds,
    seconds,
    inFlight: IN_FLIGHT,
    machine: `${machine()}, Postgres ${version?.server_version} with fsync`,
    load,
    day: new Date().toISOString().slice(0, 10)
  }
  const text = page(report)
  yield* print(`\n${text}`)
  const out = process.env["OUT"] ?? "docs"
  if (out !== "-") {
    yield* Effect.promise(async () => {
      await writeFile(join(out, "performance.md"), text)
      await writeFile(join(out, "performance.svg"), plot(report))
    })
  }
})

await Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stderr.write(`The measurement failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
process.exit(0)
