/**
 * Our runtime's part of `make bench`: activities that do nothing. ROLE says what this process is: `worker` (a runner),
 * `client` (starts and awaits, over the network), or `local` (both in one).
 */
import { Activity, Workflow } from "@effect/workflow"
import { Effect, Either, Layer, Logger, LogLevel, ManagedRuntime, Schema } from "effect"
import { CurrentProcess } from "../../../src/domain/CurrentProcess.ts"
import * as Cluster from "../../../src/runtime/Cluster.ts"
import * as Database from "../../../src/runtime/Database.ts"
import { readRunner } from "../../../src/runtime/Settings.ts"
import { serve } from "./drive.mjs"

const Result = Schema.Struct({ step: Schema.Int, ok: Schema.Boolean, text: Schema.String })
const Bench = Workflow.make({
  name: "Bench",
  payload: { id: Schema.String, steps: Schema.Int, text: Schema.String },
  success: Schema.Struct({ done: Schema.Int }),
  idempotencyKey: ({ id }) => id
})
const step = (number: number, text: string) =>
  Activity.make({ name: `step-${number}`, success: Result, execute: Effect.succeed({ step: number, ok: true, text }) })
const BenchLive = Bench.toLayer(({ steps, text }) =>
  Effect.gen(function* () {
    let done = 0
    for (let number = 1; number <= steps; number++) done += (yield* step(number, text)).ok ? 1 : 0
    return { done }
  })
)

const settings = Either.getOrThrow(readRunner(process.env))
const role = process.env["ROLE"]
const surroundings = Layer.mergeAll(
  Database.layer(settings.database, { applicationName: settings.name, maxConnections: settings.poolMax }),
  Layer.succeed(CurrentProcess, { name: settings.name, release: "bench" }),
  Logger.minimumLogLevel(LogLevel.Warning)
)
const cluster = role === "client" ? Cluster.client(settings) : Cluster.runner(settings)
const layer = (role === "client" ? Layer.empty : BenchLive).pipe(
  Layer.provideMerge(cluster),
  Layer.provideMerge(surroundings)
)

const runtime = ManagedRuntime.make(Layer.orDie(layer))
if (role === "worker") {
  process.once("disconnect", () => process.exit(0))
  await runtime.runPromise(Effect.never)
} else {
  await serve((id, work) => runtime.runPromise(Bench.execute({ id, ...work })))
}
