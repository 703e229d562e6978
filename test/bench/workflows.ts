/**
 * `make bench`: workflows of steps that do nothing, started and awaited, on one Postgres with fsync. Environment:
 *
 *     SUITE=engines   what is measured: engines, steady, steps, payload, growth, memory or allocations (`suites.ts`)
 *     ROUNDS=3        each engine is started, measured and ended in turn, that often; what is shown are medians of the rounds
 *     SECONDS=5       of each measurement; 18 where the suite is `steady`
 *     LASTS=n         starts no engine after so many seconds, and keeps what there is
 *     ONLY=ours       engines whose name holds this, or one of these with a | between them
 *     FLIGHT=50       only the loads with so many in flight, or one of these with a | between them
 *     STATEMENTS=1    also prints which statements took the database how long
 *     TIMELINE=1      also prints how many workflows were completed in each second
 *     TOP=40          also prints which functions allocated most, where the suite is `allocations`
 *     KEEP=new        what becomes of the figures: `new` replaces those in `docs/performance/SUITE.json`, `more` adds to them (a
 *                     long suite in pieces, at one state of what is measured: those of another one go), `no` only prints them
 */
import { readFileSync } from "node:fs"
import { getPriority } from "node:os"
import { Effect } from "effect"
import { type Engine, type Load, type Running, restate, restateIsThere } from "./engines/Engine.ts"
import { floor } from "./floor.ts"
import { measuredCommit, type Piece, read, type Sample, write } from "./results.ts"
import { suites } from "./suites.ts"
import { cpuMillis, machine, machineMillis, number, print, quantile, type World, world } from "./world.ts"

const rounds = number("ROUNDS", 3)
const chosen = process.env["SUITE"] || "engines"
const keep = process.env["KEEP"] || "new"
const WARM: Load = { inFlight: 50, steps: 2, bytes: 0 }
/** Of how many processors other work may have had the use: what was measured beside more of it is not kept. */
const OTHERS = 0.5

const refuse = (why: string): never => {
  process.stderr.write(`${why}\n`)
  process.exit(2)
}
const suite = suites[chosen] ?? refuse(`SUITE is "${chosen}"; it must be one of ${Object.keys(suites).join(", ")}.`)
const seconds = number("SECONDS", suite.seconds ?? 5)
const warmSeconds = suite.warmSeconds ?? 3
if (!["new", "more", "no"].includes(keep)) refuse(`KEEP is "${keep}"; it must be new, more or no.`)
const lasts = number("LASTS", 86_400)
const commit = measuredCommit()
const kept = keep === "more" ? read(chosen) : []
const before = kept.filter(({ about }) => about.commit === commit)
const keptOf = (engine: string) =>
  before.flatMap(({ samples }) => samples).filter((sample) => sample.engine === engine).length
const flight = process.env["FLIGHT"] ?? ""
const loads = suite.loads.filter(({ inFlight }) => flight === "" || flight.split("|").includes(String(inFlight)))
/** Those of which least is kept come first: where time ends a round, the next piece begins with what that one left out. */
const engines = suite.engines
  .filter((engine) => engine !== restate || restateIsThere)
  .filter(({ name }) => (process.env["ONLY"] ?? "").split("|").some((part) => name.includes(part)))
  .toSorted((one, other) => keptOf(one.name) - keptOf(other.name))

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
      statements: row === undefined ? null : Number(row.statements),
      commits: row === undefined ? null : Number(row.commits),
      workerMs: cpuMillis(running.workers),
      driverMs: cpuMillis([running.driver]),
      serverMs: cpuMillis([running.server ?? server.pid])
    }
  })

/** What took the database most, since its engine was first started. */
const statements = ({ query }: World, database: string | undefined) =>
  Effect.gen(function* () {
    const rows = yield* query<{ calls: string; mean: number; total: number; query: string }>(
      `select s.calls, s.mean_exec_time as mean, s.total_exec_time as total, left(regexp_replace(s.query, '\\s+', ' ', 'g'), 90) as query
       from pg_stat_statements s join pg_database d on d.oid = s.dbid where d.datname = $1 order by s.total_exec_time desc limit 8`,
      [database ?? null]
    )
    for (const { calls, mean, total, query: text } of rows) {
      yield* print(
        `    ${calls.padStart(8)} calls  ${mean.toFixed(2)} ms each  ${total.toFixed(0).padStart(6)} ms  ${text}`
      )
    }
  })

const residentMb = (pid: number) =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

/** How many were completed in each whole second after the first, which begins with none in flight. */
const bySecond = ([first = 0, ...endedAt]: ReadonlyArray<number>): ReadonlyArray<number> => {
  const counts = Array.from({ length: Math.max(0, Math.floor(seconds) - 1) }, () => 0)
  for (const at of endedAt) {
    const second = Math.floor((at - first) / 1_000) - 1
    if (second >= 0 && second < counts.length) counts[second] = (counts[second] ?? 0) + 1
  }
  return counts
}

const rounded = (value: number) => Math.round(value * 1000) / 1000

/** Processor time of all that is not of this measurement. */
const othersSoFar = ({ server }: World) => ({
  millis: machineMillis() - cpuMillis([process.pid, server.pid]),
  at: performance.now()
})

const kbEach = (bytes: Readonly<Record<string, number>>, workflows: number) =>
  Object.fromEntries(Object.entries(bytes).map(([name, all]) => [name, rounded(all / workflows / 1024)]))

type Spent = Effect.Effect.Success<ReturnType<typeof spent>>

const measure = (engine: Engine, running: Running, place: World, load: Load, before: Spent) =>
  Effect.gen(function* () {
    const begun = othersSoFar(place)
    const measured = yield* running.run({ ...load, times: true }, seconds)
    const ended = othersSoFar(place)
    const after = yield* spent(running, place, engine.database)
    const counts = bySecond(measured.endedAt ?? [])
    const top = (measured.byFunction ?? []).slice(0, number("TOP", 1e-9))
    for (const [name, bytes] of top)
      yield* print(`    ${(bytes / measured.completed / 1024).toFixed(2).padStart(8)} KB  ${name}`)
    if (process.env["TIMELINE"] === "1") yield* print(`    completed in each second: ${counts.join(" ")}`)
    const each = (total: number | undefined) => (total === undefined ? null : rounded(total / measured.completed))
    const between = (key: keyof typeof before) => {
      const [first, last] = [before[key], after[key]]
      return first === null || last === null ? null : each(last - first)
    }
    const sample: Sample = {
      engine: engine.name,
      ...load,
      perSecond: rounded(measured.completed / measured.seconds),
      p50: rounded(quantile(measured.latenciesMs, 0.5)),
      p99: rounded(quantile(measured.latenciesMs, 0.99)),
      slowestSecond: counts.length === 0 ? null : Math.min(...counts),
      statements: between("statements"),
      commits: between("commits"),
      workerMs: between("workerMs") ?? 0,
      driverMs: between("driverMs") ?? 0,
      serverMs: between("serverMs") ?? 0,
      residentMb: rounded(Math.max(...[running.driver, ...running.workers].map(residentMb))),
      allocatedKb: each(measured.allocated === undefined ? undefined : measured.allocated / 1024),
      gcMs: each(measured.gcMs),
      ...(measured.byPackage === undefined ? {} : { allocatedBy: kbEach(measured.byPackage, measured.completed) }),
      others: rounded(Math.max(0, (ended.millis - begun.millis) / (ended.at - begun.at)))
    }
    return { sample, after }
  })

const program = Effect.gen(function* () {
  const place = yield* world
  const urls = new Map<string, string>()
  for (const engine of engines) urls.set(engine.name, yield* engine.prepare(place))
  const floorUrl = yield* place.emptyDatabase("floor")
  const samples: Array<Sample> = []
  const floors: Array<number> = []
  const timeIsUp = () => performance.now() > lasts * 1_000
  for (let round = 1; round <= rounds && !timeIsUp(); round++) {
    for (const engine of engines) {
      if (timeIsUp()) break
      yield* Effect.gen(function* () {
        const running = yield* engine.start(place, urls.get(engine.name) ?? "")
        yield* running.run(WARM, warmSeconds)
        let before = yield* spent(running, place, engine.database)
        for (const each of loads) {
          const { sample, after } = yield* measure(engine, running, place, each, before)
          before = after
          if (sample.others <= OTHERS) samples.push(sample)
          yield* print(
            `round ${round}  ${engine.name.padEnd(40)} ${String(each.inFlight).padStart(3)} in flight, ${each.steps} steps, ${each.bytes} B: ` +
              `${sample.perSecond.toFixed(0).padStart(5)}/s  p50 ${sample.p50.toFixed(1)} ms  p99 ${sample.p99.toFixed(1)} ms  slowest second ${sample.slowestSecond ?? "–"}  ` +
              `worker ${sample.workerMs.toFixed(2)} + client ${sample.driverMs.toFixed(2)} + server ${sample.serverMs.toFixed(2)} ms of processor${sample.others > OTHERS ? `  not kept: other work had ${sample.others.toFixed(2)} processors` : ""}`
          )
        }
        if (process.env["STATEMENTS"] === "1") yield* statements(place, engine.database)
      }).pipe(Effect.scoped)
    }
    if (suite.floor) {
      const at = yield* floor(floorUrl, seconds)
      if (at !== undefined) floors.push(rounded(at))
      yield* print(`round ${round}  pgbench ${at === undefined ? "is not installed" : `${at.toFixed(0)}/s`}`)
    }
  }
  const [version] = yield* place.query<{ server_version: string }>("show server_version")
  const piece: Piece = {
    about: {
      day: new Date().toISOString().slice(0, 10),
      commit,
      machine: `${machine()}, Postgres ${version?.server_version} with fsync`,
      command: `${getPriority() === 0 ? "" : `nice -n ${getPriority()} `}make bench SUITE=${chosen} ROUNDS=${rounds} SECONDS=${seconds}`,
      floors
    },
    samples
  }
  if (keep === "no") return
  if (samples.length === 0)
    return yield* print("Nothing to keep: other work had too much of the processors throughout.")
  yield* Effect.promise(() => write(chosen, [...before, piece]))
  const gone = [...new Set(kept.filter((each) => !before.includes(each)).map(({ about }) => about.commit))]
  if (gone.length > 0) yield* print(`Not kept any longer: what was measured at ${gone.join(", ")}; this is ${commit}.`)
  yield* print("Kept. `make bench-page` writes docs/performance.md from what is kept.")
})

await Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stderr.write(`The measurement failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
process.exit(0)
