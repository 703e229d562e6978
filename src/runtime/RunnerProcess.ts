/** A runner, whole: everything that `bin/runner.ts` starts, in the order in which it must stop. */
import type { SocketServerError } from "@effect/platform/SocketServer"
import type { SqlError } from "@effect/sql/SqlError"
import { Layer, Logger, LogLevel } from "effect"
import * as AgentLive from "../agent/AgentLive.ts"
import * as AgentWorkflowLive from "../agent/AgentWorkflowLive.ts"
import * as Tools from "../agent/tools/Tools.ts"
import * as AgentWorkflowV2Live from "../agent/v2/AgentWorkflowLive.ts"
import * as Memories from "../data/Memories.ts"
import { CurrentProcess } from "../domain/CurrentProcess.ts"
import { eventLog } from "../events/EventStore.ts"
import * as Cluster from "./Cluster.ts"
import * as Database from "./Database.ts"
import * as EngineLife from "./EngineLife.ts"
import * as EventRetentionLife from "./EventRetentionLife.ts"
import * as HandoverLive from "./HandoverLive.ts"
import * as Health from "./Health.ts"
import type { WouldStrand } from "./Joining.ts"
import * as Lifecycle from "./Lifecycle.ts"
import * as Logging from "./Logging.ts"
import type { ModelSettings } from "./ModelSettings.ts"
import * as Models from "./Models.ts"
import * as ObservedLog from "./ObservedLog.ts"
import * as RestartAccepted from "./RestartAccepted.ts"
import * as RunnerRecord from "./RunnerRecord.ts"
import { applicationName } from "./RunnerWatch.ts"
import type { RunnerSettings } from "./Settings.ts"
import * as Telemetry from "./Telemetry.ts"

/** What the agent is made of here: the model, the tools and the event log can be swapped one by one. */
const agent = (models: ModelSettings) =>
  Layer.mergeAll(
    AgentLive.layer,
    AgentWorkflowLive.layer,
    AgentWorkflowV2Live.layer,
    RestartAccepted.layer,
    EngineLife.layer,
    EventRetentionLife.layer
  ).pipe(
    Layer.provide([
      ObservedLog.layer(eventLog),
      Models.layer(models),
      Layer.provide(Tools.layer, Layer.provide(Memories.layer, [Models.embedding(models), eventLog])),
      HandoverLive.layer
    ]),
    Layer.provide(Models.policies(models))
  )

/**
 * Read from the bottom up for the start, from the top down for the stop: not ready, stop taking calls and let begun steps
 * finish, give up shards and locks, withdraw what this runner carries, close the database. The health server lives until
 * the shards are gone, so that a probe in between is answered with "stopping".
 */
export const layer = (
  settings: RunnerSettings,
  release: string
): Layer.Layer<never, SocketServerError | SqlError | Health.HealthServerFailed | WouldStrand> =>
  Lifecycle.serving.pipe(
    Layer.provide(agent(settings.models)),
    Layer.provide(Health.runner({ host: settings.listenHost, port: settings.httpPort })),
    Layer.provide(Cluster.runner(settings)),
    Layer.provide(RunnerRecord.make(settings.asked?.port)),
    Layer.provide(
      Database.layer(settings.database, {
        applicationName: applicationName(settings.runner),
        maxConnections: settings.poolMax
      })
    ),
    Layer.provide(Lifecycle.Lifecycle.Default),
    Layer.provide(Layer.succeed(CurrentProcess, { name: settings.name, release })),
    Layer.provide(Telemetry.fromEnv(process.env, { service: "agent-runner", pod: settings.name, release })),
    Layer.provide(Logging.layer(Logging.fromEnv(process.env, release))),
    Layer.provide(Logger.minimumLogLevel(LogLevel.fromLiteral(settings.logLevel)))
  )
