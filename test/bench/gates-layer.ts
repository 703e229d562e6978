/**
 * One layer of the workflow gate, in a process of its own, since the highest memory of a process is known only once. It is bundled
 * before it runs, as the image's `deliver` is: loose modules of TypeScript are stripped of their types in 150 MiB.
 *
 * LAYER is names, rows, replay or results; SURFACE the committed surface; BENCH_URL the database, as the role `reader`. Prints a line of
 * JSON for each time that it was done; with UNTIL_ENDED it begins again until it is told to end, and reads how many ms it was held
 * (`gates-runners.ts`): its clock stands meanwhile, since a gate has so many minutes of its own to go slowly.
 */
import { readFile } from "node:fs/promises"
import { Clock, Duration, Effect, Layer, Stream } from "effect"
import { declarations, entities } from "../../src/agent/registry.ts"
import { handlers } from "../../src/bin/cli/replayHandlers.ts"
import * as Database from "../../src/gates/Database.ts"
import * as Gate from "../../src/gates/workflows/Gate.ts"
import { OpenWork } from "../../src/gates/workflows/OpenWork.ts"
import * as OtherReleases from "../../src/gates/workflows/OtherReleases.ts"
import * as PostgresOpenWork from "../../src/gates/workflows/PostgresOpenWork.ts"
import * as Replay from "../../src/gates/workflows/replay/Replay.ts"
import * as Surface from "../../src/surface/Surface.ts"

export const layers = ["names", "rows", "replay", "results"] as const
export type LayerName = (typeof layers)[number]
export interface Measured {
  readonly ms: number
  readonly cpuMs: number
  readonly memoryMiB: number
  readonly findings: ReadonlyArray<string>
  readonly checks: ReadonlyArray<{ readonly name: string; readonly result: string }>
}

const noRows = Layer.succeed(OpenWork, {
  exists: Effect.succeed(true),
  executions: Stream.empty,
  calls: Stream.empty,
  results: () => Stream.empty,
  lived: () => Effect.succeed(undefined)
})

/** Finished results alone, as when no release before is known: then all that may still be asked for are decoded. */
const resultsAlone = Layer.effect(
  OpenWork,
  Effect.map(OpenWork, (work) => ({ ...work, executions: Stream.empty, calls: Stream.empty }))
).pipe(Layer.provide(PostgresOpenWork.layer))

const workOf = { names: noRows, rows: PostgresOpenWork.layer, replay: PostgresOpenWork.layer, results: resultsAlone }

const measure = (layer: LayerName) =>
  Effect.gen(function* () {
    const text = yield* Effect.promise(() => readFile(process.env["SURFACE"] ?? "", "utf8"))
    const surface = yield* Surface.parse(text, "surface.json")
    const settings = yield* Database.fromUrl(process.env["BENCH_URL"] ?? "")
    const startedAt = performance.now()
    const cpuBefore = process.cpuUsage()
    const result = yield* Effect.gen(function* () {
      const found = yield* OtherReleases.read("candidate")
      const replayer = layer === "replay" ? yield* Replay.make(handlers) : undefined
      return yield* Gate.judge({
        release: "candidate",
        surface,
        declarations,
        entities,
        others: found.others,
        before: layer === "results" ? undefined : found.before,
        replayer
      })
    }).pipe(Effect.provide(workOf[layer]), Effect.provide(Database.layer(settings)), Effect.scoped)
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
      checks: result.checks.filter(({ name }) => ["open executions", "replay", "finished results"].includes(name))
    }
    process.stdout.write(`${JSON.stringify(measured)}\n`)
  })

/** A clock that stands while the process is held, as far as that was told. */
const standing = () => {
  const clock = Clock.make()
  let heldMs = 0
  process.stdin.on("data", (chunk) => {
    for (const line of chunk.toString().split("\n")) heldMs += Number(line)
  })
  const millis = () => clock.unsafeCurrentTimeMillis() - heldMs
  // A timer that ran out while it was held fires before it is told of that: it has to ask behind what came in.
  const told = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
  const until = (end: number): Effect.Effect<void> =>
    Effect.suspend(() =>
      millis() >= end
        ? Effect.void
        : Effect.zipRight(Effect.zipRight(clock.sleep(Duration.millis(end - millis())), told), until(end))
    )
  return Effect.withClock({
    ...clock,
    sleep: (duration) => Effect.suspend(() => until(millis() + Duration.toMillis(duration))),
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos() - BigInt(heldMs) * 1_000_000n,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(() => clock.unsafeCurrentTimeNanos() - BigInt(heldMs) * 1_000_000n)
  })
}

const layer = layers.find((each) => each === process.env["LAYER"])
if (layer !== undefined) {
  const once = measure(layer)
  await Effect.runPromise(process.env["UNTIL_ENDED"] === "1" ? standing()(Effect.forever(once)) : once)
}
