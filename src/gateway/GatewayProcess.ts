/** A gateway, whole: everything that `bin/gateway.ts` starts, in the order in which it must stop. */
import { RunnerStorage } from "@effect/cluster"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Layer, Logger, LogLevel } from "effect"
import { CurrentProcess } from "../domain/CurrentProcess.ts"
import { EventStore } from "../events/EventStore.ts"
import { Feed } from "../events/Feed.ts"
import * as ClusterClient from "../runtime/ClusterClient.ts"
import * as Database from "../runtime/Database.ts"
import * as Health from "../runtime/Health.ts"
import * as Logging from "../runtime/Logging.ts"
import * as Telemetry from "../runtime/Telemetry.ts"
import * as Gateway from "./Gateway.ts"
import type { GatewaySettings } from "./GatewaySettings.ts"
import type { ListenFailed } from "./Listener.ts"
import * as Live from "./Live.ts"
import * as ObservedRecords from "./ObservedRecords.ts"
import { type Check, Checks } from "./Ports.ts"

const checks = Layer.effect(
  Checks,
  Effect.gen(function* () {
    const database = yield* Health.databaseReady
    const runners = yield* RunnerStorage.RunnerStorage
    return [
      {
        name: "database",
        run: Effect.flatMap(database, (complaint) => (complaint === undefined ? Effect.void : Effect.fail(complaint)))
      },
      {
        name: "cluster",
        run: runners.getRunners.pipe(
          Effect.mapError(() => "the list of runners can't be read"),
          Effect.filterOrFail(
            (listed) => listed.some(([, healthy]) => healthy),
            () => "no runner is on the ring"
          ),
          Effect.asVoid
        )
      }
    ] satisfies ReadonlyArray<Check>
  })
)

/**
 * Read from the bottom up for the start, from the top down for the stop: the listener drains first, while the cluster and
 * the database that requests in flight need are still there.
 */
export const layer = (settings: GatewaySettings, release: string): Layer.Layer<never, SqlError | ListenFailed> =>
  Layer.scopedDiscard(Gateway.serve(settings.serve)).pipe(
    Layer.provide(Gateway.layer(settings.serve)),
    Layer.provide([Live.agents, ObservedRecords.layer(Live.records), Live.load, checks]),
    Layer.provide(ClusterClient.layer(settings)),
    Layer.provide([EventStore.Default, Feed.Default]),
    Layer.provide(
      Database.layer(settings.database, { applicationName: settings.name, maxConnections: settings.poolMax })
    ),
    Layer.provide(Layer.succeed(CurrentProcess, { name: settings.name, release })),
    Layer.provide(Telemetry.fromEnv(process.env, { service: "agent-gateway", pod: settings.name, release })),
    Layer.provide(Logging.layer(Logging.fromEnv(process.env, release))),
    Layer.provide(Logger.minimumLogLevel(LogLevel.fromLiteral(settings.logLevel)))
  )
