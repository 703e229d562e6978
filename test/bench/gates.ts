/**
 * `make bench-gates`: time and memory of the workflow gate's layers, on a Postgres of its own. Environment:
 *
 *     OPEN=100000       open executions of AgentWorkflow: in their first model call, waiting for approval, or approved
 *     FINISHED=125000   finished executions, of 8 rows each
 *     RELEASES=5        releases that are recorded beside the one that is judged
 *
 * Rows have the form in which the engine writes them; a passing verdict over all of them is part of the measurement. Each
 * layer is measured in a process of its own that reads as the role `reader`, since the highest memory of a process is known
 * only once. `rows` is the reading and the decoding, `replay` is what the replay adds to that. Beside the time stands the CPU
 * time of the gate's process, which other work on the machine hardly changes. Writes docs/gates-performance.md.
 * Ends with 1 when a target of `limits` is missed.
 */
import { spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { cpus, loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Layer, Stream } from "effect"
import pg from "pg"
import { agentWorkflow } from "../../src/agent/AgentWorkflow.ts"
import { declarations, entities } from "../../src/agent/registry.ts"
import { handlers } from "../../src/bin/cli/replayHandlers.ts"
import * as Database from "../../src/gates/Database.ts"
import * as Gate from "../../src/gates/workflows/Gate.ts"
import { OpenWork } from "../../src/gates/workflows/OpenWork.ts"
import * as OtherReleases from "../../src/gates/workflows/OtherReleases.ts"
import * as PostgresOpenWork from "../../src/gates/workflows/PostgresOpenWork.ts"
import * as Replay from "../../src/gates/workflows/replay/Replay.ts"
import { shardNumber } from "../../src/gates/workflows/rules/Shard.ts"
import { claimSubnet } from "../../src/rehearsal/net/Loopback.ts"
import * as EmbeddedPostgres from "../../src/rehearsal/postgres/EmbeddedPostgres.ts"
import * as Surface from "../../src/surface/Surface.ts"
import { makeRoles, migrate, urlAs } from "../support/migrate.ts"

const limits = { namesMs: 1_000, rowsPerSecond: 20_000, replaysPerSecond: 5_000, memoryMiB: 512 }

const number = (name: string, fallback: number): number => {
  const given = process.env[name]
  if (given === undefined || given === "") return fallback
  if (Number(given) > 0) return Number(given)
  process.stderr.write(`${name} is "${given}" and must be a number above 0.\n`)
  process.exit(2)
}
const open = number("OPEN", 100_000)
const finished = number("FINISHED", 125_000)
const releases = number("RELEASES", 5)

const layers = ["names", "rows", "replay"] as const
type LayerName = (typeof layers)[number]
interface Measured {
  readonly ms: number
  readonly cpuMs: number
  readonly memoryMiB: number
  readonly findings: ReadonlyArray<string>
  readonly checks: ReadonlyArray<{ readonly name: string; readonly result: string }>
}

const repository = fileURLToPath(new URL("../../", import.meta.url))
const ownSurface = Effect.promise(() => readFile(join(repository, "surface.json"), "utf8"))

// --- the rows ---------------------------------------------------------------------------------------------------------

const complete = (value?: unknown) => ({
  _tag: "Success",
  value: { _tag: "Complete", exit: { _tag: "Success", ...(value === undefined ? {} : { value }) } }
})
const answer = { text: "some forty characters of an answer, or so", inputTokens: 20, outputTokens: 9 }
const activities = [
  ["Plan", complete({ calls: [{ call: "1", tool: "time", input: "UTC" }], approval: "it spends money" })],
  ["CallModel", complete(answer)],
  ["CallTool#1", complete({ outcome: "ok", output: "12:00" })],
  ["RequestApproval", complete()],
  ["RecordApproval", complete()]
] as const
const suspended = JSON.stringify({ _tag: "Success", value: { _tag: "Suspended" } })

interface Part {
  readonly tag: string
  readonly payload: unknown
  readonly reply: unknown
}
const activity = (index: number, begun = false): Part => ({
  tag: "activity",
  payload: { name: activities[index]![0], attempt: 1 },
  reply: begun ? undefined : activities[index]![1]
})
const approval: Part = {
  tag: "deferred",
  payload: { name: "Approval", exit: { _tag: "Success", value: { by: "a person" } } },
  reply: { _tag: "Success", value: { _tag: "Success" } }
}
/** Of ten executions, how far each is. */
const states: ReadonlyArray<ReadonlyArray<Part>> = [
  ...Array.from({ length: 4 }, () => [activity(0), activity(1, true)]),
  ...Array.from({ length: 5 }, () => [0, 1, 2, 3].map((index) => activity(index))),
  [...[0, 1, 2, 3].map((index) => activity(index)), approval, activity(4, true)]
]

const insertOpen = `with given as (
    select * from jsonb_to_recordset($1::jsonb) as row(id bigint, shard text, entity text, tag text, payload text, reply text)),
  messages as (
    insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
    select id, 'bench/' || id, shard, 'Workflow/AgentWorkflow', entity, 0, tag, payload, '{}', reply is not null, id from given)
  insert into cluster.cluster_replies (id, kind, request_id, payload)
  select id + 1, 0, id, reply from given where reply is not null`

/** Eight rows each: four messages and what answered them. */
const insertFinished = `with ids as (
    select n, $2::bigint + n * 20 + part * 2 as id, part, md5(n::text) as entity
    from generate_series(1, $1::int) n, generate_series(0, 3) part),
  messages as (
    insert into cluster.cluster_messages (id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers, processed, request_id)
    select id, 'bench/' || id, 'default:1', 'Workflow/AgentWorkflow', entity, 0,
      case part when 0 then 'run' else 'activity' end,
      case part when 0 then $3 else '{"name":"CallTool#' || part || '","attempt":1}' end, '{}', true, id from ids)
  insert into cluster.cluster_replies (id, kind, request_id, payload) select id + 1, 0, id, $4 from ids`

const fill = (url: string) =>
  Effect.gen(function* () {
    const client = new pg.Client({ connectionString: url })
    yield* Effect.acquireRelease(
      Effect.promise(() => client.connect()),
      () => Effect.promise(() => client.end())
    )
    let id = 0
    for (let from = 0; from < open; from += 5_000) {
      const rows: Array<object> = []
      for (let n = from; n < Math.min(open, from + 5_000); n++) {
        const payload = {
          tenantId: "bench",
          sessionId: `s${n % 1_000}`,
          runId: `r${n}`,
          message: "hello",
          model: "local"
        }
        const entity = yield* agentWorkflow.workflow.executionId(payload as never)
        const shard = `default:${shardNumber(entity, 300)}`
        const parts = states[n % states.length]!
        const row = (tag: string, text: string, reply: string | undefined) => {
          id += 2
          rows.push({ id, shard, entity, tag, payload: text, reply })
        }
        row("run", JSON.stringify(payload), parts.at(-1)!.reply === undefined ? undefined : suspended)
        for (const part of parts) row(part.tag, JSON.stringify(part.payload), JSON.stringify(part.reply))
      }
      yield* Effect.promise(() => client.query(insertOpen, [JSON.stringify(rows)]))
    }
    const payload = { tenantId: "bench", sessionId: "s", runId: "r", message: "hello", model: "local" }
    yield* Effect.promise(() =>
      client.query(insertFinished, [finished, id + 1_000, JSON.stringify(payload), JSON.stringify(complete(answer))])
    )
    const surface = yield* ownSurface
    for (let n = 0; n < releases; n++) {
      const state = n === 0 ? "deployed" : "rollback-choice"
      yield* Effect.promise(() =>
        client.query("insert into agents.releases (release, surface, state) values ($1, $2::jsonb, $3)", [
          n.toString(16).padStart(40, "0"),
          surface,
          state
        ])
      )
    }
    yield* Effect.promise(() => client.query("vacuum analyze"))
  }).pipe(Effect.scoped)

// --- one layer, in its own process ------------------------------------------------------------------------------------

const noRows = Layer.succeed(OpenWork, { exists: Effect.succeed(true), executions: Stream.empty, calls: Stream.empty })

const measure = (layer: LayerName, url: string) =>
  Effect.gen(function* () {
    const surface = yield* Surface.parse(yield* ownSurface, "surface.json")
    const settings = yield* Database.fromUrl(url)
    const startedAt = performance.now()
    const cpuBefore = process.cpuUsage()
    const result = yield* Effect.gen(function* () {
      const others = yield* OtherReleases.read("candidate")
      const replayer = layer === "replay" ? yield* Replay.make(handlers) : undefined
      return yield* Gate.judge({ release: "candidate", surface, declarations, entities, others, replayer })
    }).pipe(
      Effect.provide(layer === "names" ? noRows : PostgresOpenWork.layer),
      Effect.provide(Database.layer(settings)),
      Effect.scoped
    )
    const ms = performance.now() - startedAt
    const cpu = process.cpuUsage(cpuBefore)
    const status = yield* Effect.promise(() => readFile("/proc/self/status", "utf8"))
    const measured: Measured = {
      ms,
      cpuMs: (cpu.user + cpu.system) / 1_000,
      memoryMiB: Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1_024),
      findings: result.findings
        .filter(({ severity }) => severity !== "note")
        .map(({ what, where }) => `${what} ${where}`),
      checks: result.checks.filter(({ name }) => name === "open executions" || name === "replay")
    }
    process.stdout.write(JSON.stringify(measured))
  })

// --- the page ---------------------------------------------------------------------------------------------------------

const seconds = (ms: number) => (ms / 1_000).toFixed(1)
const perSecond = (count: number, ms: number) => Math.round((count / ms) * 1_000).toLocaleString("en-US")

const page = (
  { names, rows, replay }: Record<LayerName, Measured>,
  load: ReadonlyArray<number>,
  verdict: string
): string => {
  const row = (layer: string, target: string, ms: number, cpuMs: number, memoryMiB: number, rates: string) =>
    `| ${[layer, target, `${seconds(ms)} s`, `${seconds(cpuMs)} s`, `${memoryMiB} MiB`, rates].join(" | ")} |`
  const [replayMs, replayCpu] = [replay.ms - rows.ms, replay.cpuMs - rows.cpuMs]
  const rate = (ms: number, cpuMs: number) => `${perSecond(open, ms)} / ${perSecond(open, cpuMs)}`
  return `# How fast the workflow gate is

Written by \`make bench-gates\`: ${open.toLocaleString("en-US")} open executions, ${(finished * 8).toLocaleString("en-US")} finished rows, ${releases} releases recorded beside the one that is judged.
${cpus()[0]?.model ?? "An unknown processor"}, ${cpus().length} processors, Node ${process.versions.node}, PostgreSQL on the same machine; load of the machine ${load.map((each) => each.toFixed(0)).join(" before and ")} after.

| Layer | Target | Time | CPU of the gate | Highest memory | Executions a second / a CPU second |
| --- | --- | --- | --- | --- | --- |
${row("names and shapes", `${limits.namesMs / 1_000} s`, names.ms, names.cpuMs, names.memoryMiB, "")}
${row("rows read and decoded", `${limits.rowsPerSecond.toLocaleString("en-US")} a second`, rows.ms, rows.cpuMs, rows.memoryMiB, rate(rows.ms, rows.cpuMs))}
${row("replay, beyond the rows", `${limits.replaysPerSecond.toLocaleString("en-US")} a second`, replayMs, replayCpu, replay.memoryMiB, rate(replayMs, replayCpu))}

${verdict} Memory has a target of ${limits.memoryMiB} MiB. The gate works on one core; Postgres and the network have the other.
${replay.checks.map(({ name, result }) => `${name}: ${result}.`).join(" ")}

A function that asks for time or chance is replayed twice, the others by sample: what the two would differ in is what they did not ask for.
`
}

// --- the whole --------------------------------------------------------------------------------------------------------

const print = (line: string) => Effect.sync(() => process.stdout.write(`${line}\n`))

const program = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "agents-bench-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const subnet = yield* Effect.orDie(claimSubnet)
  const server = yield* EmbeddedPostgres.start({
    dataDir: join(folder, "data"),
    host: subnet.address(2),
    port: 5432,
    fsync: false
  })
  yield* makeRoles(server.url("postgres"))
  const admin = new pg.Client({ connectionString: server.url("postgres") })
  yield* Effect.promise(async () => {
    await admin.connect()
    await admin.query("create database bench owner migrator")
    await admin.end()
  })
  yield* migrate(urlAs(server.url("bench"), "migrator"))
  yield* print(
    `filling: ${open} open executions, ${finished} finished ones (${finished * 8} rows), ${releases} releases`
  )
  const startedAt = performance.now()
  yield* fill(server.url("bench"))
  yield* print(`filled in ${Math.round((performance.now() - startedAt) / 1_000)} s`)

  const loadBefore = loadavg()[0]!
  const measured = Object.fromEntries(
    layers.map((layer): [LayerName, Measured] => {
      const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), layer], {
        env: { ...process.env, BENCH_URL: urlAs(server.url("bench"), "reader") },
        encoding: "utf8",
        stdio: ["ignore", "pipe", "inherit"]
      })
      if (child.status !== 0) throw new Error(`layer ${layer} ended with ${child.status}`)
      return [layer, JSON.parse(child.stdout) as Measured]
    })
  ) as Record<LayerName, Measured>
  const { names, rows, replay } = measured
  const report = {
    namesAndShapesMs: Math.round(names.ms),
    rowsPerSecond: Math.round((open / rows.ms) * 1_000),
    replaysPerSecond: Math.round((open / (replay.ms - rows.ms)) * 1_000),
    cpuMs: { names: Math.round(names.cpuMs), rows: Math.round(rows.cpuMs), replay: Math.round(replay.cpuMs) },
    wholeGateSeconds: Math.round(replay.ms / 100) / 10,
    memoryMiB: { names: names.memoryMiB, rows: rows.memoryMiB, replay: replay.memoryMiB },
    judged: replay.checks.map(({ name, result }) => `${name}: ${result}`),
    findings: replay.findings,
    machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} processors, Node ${process.versions.node}`
  }
  yield* print(JSON.stringify(report, null, 2))
  const missed = [
    report.namesAndShapesMs > limits.namesMs && `names and shapes took more than ${limits.namesMs} ms`,
    report.rowsPerSecond < limits.rowsPerSecond && `fewer than ${limits.rowsPerSecond} executions decoded a second`,
    report.replaysPerSecond < limits.replaysPerSecond && `fewer than ${limits.replaysPerSecond} replays a second`,
    Math.max(...Object.values(report.memoryMiB)) > limits.memoryMiB && `more than ${limits.memoryMiB} MiB of memory`,
    report.findings.length > 0 && "the gate did not pass what it must pass"
  ].filter((each) => each !== false)
  const verdict = missed.length === 0 ? "All targets were met." : `Missed: ${missed.join("; ")}.`
  const path = join(repository, "docs/gates-performance.md")
  yield* Effect.promise(() => writeFile(path, page(measured, [loadBefore, loadavg()[0]!], verdict)))
  yield* print(missed.length === 0 ? "ok" : `FAILED: ${missed.join("; ")}`)
  return missed.length === 0
})

const layer = layers.find((each) => each === process.argv[2])
const work: Effect.Effect<boolean, unknown> =
  layer === undefined ? Effect.scoped(program) : Effect.as(measure(layer, process.env["BENCH_URL"] ?? ""), true)
const passed = await Effect.runPromise(work).catch((error: unknown) => {
  process.stderr.write(`The measurement failed: ${error instanceof Error ? error.message : String(error)}\n`)
  return false
})
process.exit(passed ? 0 : 1)
